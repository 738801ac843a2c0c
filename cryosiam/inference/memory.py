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

DEFAULT_PROCESS_BYTES: Final = 2_200_000_000
"""Memory of the whole process unless told otherwise: a laptop stays usable."""
FREE_SHARE: Final = 0.6
"""Share of the machine's free memory that tiles may take unless told otherwise."""
LIBRARY_OVERHEAD: Final = 1.15
"""Convolution libraries hold reordered copies and scratch space beside the tensors torch knows of."""


def tile_memory_bytes(process_bytes: int | None = None) -> int:
    """Return the memory that tiles may use so that the whole process stays within ``process_bytes``.

    Parameters
    ----------
    process_bytes
        What the user gave; None for `DEFAULT_PROCESS_BYTES`, less where the machine has less.
    """
    held: int = psutil.Process().memory_info().rss
    if process_bytes is not None:
        return max(1, process_bytes - held)
    return max(1, min(DEFAULT_PROCESS_BYTES - held, int(FREE_SHARE * psutil.virtual_memory().available)))


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
