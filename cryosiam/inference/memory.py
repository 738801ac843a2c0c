"""How much memory there is, and how much a network needs for each voxel of its input."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_LIMIT_BYTES: Final = 2_200_000_000
LIBRARY_OVERHEAD: Final = 1.15
"""Convolution libraries hold reordered copies and scratch space beside the tensors torch knows of."""


def default_memory_bytes() -> int:
    """Return the memory that inference may use unless told: 60 % of what is free, at most 2.2 GB."""
    return min(DEFAULT_LIMIT_BYTES, int(0.6 * psutil.virtual_memory().available))


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages alive while it is active, and the most bytes they held at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: int = 0
        self.peak: int = 0
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


def peak_bytes(work: Callable[[], object]) -> float:
    """Return the most bytes that tensors made by ``work`` hold at once, library scratch space included.

    Meant for work on torch's ``meta`` device: shapes and lifetimes without any arithmetic.
    """
    with torch.inference_mode(), _LiveBytes() as counter:
        work()
    return LIBRARY_OVERHEAD * float(counter.peak)
