"""How much memory there is, and how much a network needs for each voxel of its input."""

from __future__ import annotations

import copy
import math
import weakref
from typing import TYPE_CHECKING, Any, Final

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from cryosiam.inference.tiles import round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

DEFAULT_LIMIT_BYTES: Final = 2_200_000_000
LIBRARY_OVERHEAD: Final = 1.15
"""Convolution libraries hold reordered copies and scratch space beside the tensors torch knows of."""


def default_memory_bytes() -> int:
    """Return the memory that inference may use unless told: 60 % of what is free, at most 2.2 GB."""
    return min(DEFAULT_LIMIT_BYTES, int(0.6 * psutil.virtual_memory().available))


class _LiveBytes(TorchDispatchMode):
    """Follows the storages alive while it is active, and the most bytes they held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_flatten(result)[0]:
            if isinstance(value, torch.Tensor):
                self._follow(value.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        # Python wrappers of a storage come and go; its address in torch stays.
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def activation_bytes_per_voxel(
    net: nn.Module, heads: Sequence[str], dtype: torch.dtype, multiple: int, edge: int = 64
) -> float:
    """Return the peak memory of one forward pass for each voxel of its input, weights not counted.

    The pass runs on torch's ``meta`` device: shapes and lifetimes without any arithmetic.

    Parameters
    ----------
    net
        Network called as ``net(x, heads)``.
    heads
        Heads to compute.
    dtype
        Type of weights and activations.
    multiple
        Total stride of the network.
    edge
        Edge of the probe volume; rounded up to ``multiple``.
    """
    side = round_up(max(edge, 4 * multiple), multiple)
    twin = copy.deepcopy(net).to(device="meta", dtype=dtype)
    with torch.inference_mode(), _LiveBytes() as counter:
        # torch.empty goes through the mode, so the input is counted.
        x = torch.empty((1, 1, side, side, side), dtype=dtype, device="meta")
        outputs = twin(x, heads)
        del outputs, x
    return LIBRARY_OVERHEAD * counter.peak / math.prod((side, side, side))
