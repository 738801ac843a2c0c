"""Read a chunked volume region by region without unpacking each chunk again and again."""

from __future__ import annotations

from collections import OrderedDict
from itertools import product
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box

CACHE_BYTES: Final = 640 * 2**20
"""Bound on the unpacked chunks kept in memory."""

_Index = tuple[int, ...]


class ZarrVolume:
    """A Zarr array read region by region; the chunks used last stay unpacked.

    Kept is at most one layer of chunks: slabs of whole slices and rows of overlapping tiles then unpack each chunk
    once, and the memory does not grow with the depth of the volume. Safe to read from several threads.

    Parameters
    ----------
    array
        Zarr array of shape ``(z, y, x)``.
    where
        Place it comes from, for messages.
    cache_bytes
        Bound on the chunks kept, where a layer is larger.
    """

    def __init__(self, array: Any, where: str, cache_bytes: int = CACHE_BYTES) -> None:
        self._array = array
        self._where = where
        layer = min(array.chunks[0], array.shape[0]) * array.shape[1] * array.shape[2] * array.dtype.itemsize
        self._cache_bytes = min(cache_bytes, layer)
        self._chunks: OrderedDict[_Index, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        z, y, x = self._array.shape
        return int(z), int(y), int(x)

    @property
    def missing_chunks(self) -> int:
        """Number of chunks that are not stored; Zarr reads them as the fill value without a word."""
        return int(self._array.nchunks - self._array.nchunks_initialized)

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order.

        Raises
        ------
        InputError
            If a chunk of the file is damaged.
        """
        result = np.empty([side.stop - side.start for side in box], dtype=np.float32)
        sizes = self._array.chunks
        touched = [range(side.start // size, -(-side.stop // size)) for side, size in zip(box, sizes, strict=True)]
        for index in product(*touched):
            first = [number * size for number, size in zip(index, sizes, strict=True)]
            chunk = self._chunk(index)
            low = [max(side.start, start) for side, start in zip(box, first, strict=True)]
            high = [min(s.stop, start + n) for s, start, n in zip(box, first, chunk.shape, strict=True)]
            inside = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, first, strict=True))
            target = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, box, strict=True))
            result[target] = chunk[inside]
        return result

    def _chunk(self, index: _Index) -> NDArray[Any]:
        with self._lock:
            chunk = self._chunks.pop(index, None)
            if chunk is None:
                chunk = self._unpacked(index)
            self._chunks[index] = chunk
            while len(self._chunks) > 1 and sum(kept.nbytes for kept in self._chunks.values()) > self._cache_bytes:
                self._chunks.popitem(last=False)
            return chunk

    def _unpacked(self, index: _Index) -> NDArray[Any]:
        try:
            return np.asarray(self._array.get_block_selection(index))
        except (RuntimeError, ValueError) as error:
            raise InputError(f"a chunk of {self._where} is damaged ({error}); copy the tomogram again") from error
