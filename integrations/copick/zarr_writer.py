"""Write OME-Zarr 0.4 as copick lays it out, block by block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.integrations.copick.folders import whole_folder
from cryosiam.integrations.copick.ome import ATTRIBUTE
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from cryosiam.domain.tomogram import Box, Volume

CHUNK = 256
"""Edge of a chunk, as in copick and on the data portal."""


def write_volume(
    path: Path, volume: Volume, voxel_size_angstrom: float, levels: int, dtype: DTypeLike, facts: dict[str, Any]
) -> None:
    """Write a volume and its pyramid of 2-fold means, whole or not at all.

    One block of ``CHUNK`` cubed voxels is in memory at a time. Where a size is odd, the last voxel of the next level is
    the mean of the voxels there are.

    Parameters
    ----------
    path
        Folder of the Zarr group; replaced if it is there.
    volume
        Voxels (z, y, x).
    voxel_size_angstrom
        Edge of the voxel in Å.
    levels
        Number of levels, 1 for the volume alone.
    dtype
        Type of the stored voxels.
    facts
        What to store beside the OME metadata, under our own key.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; what was there before is still there.
    """
    with storage_errors("cannot write"), whole_folder(path) as folder:
        arrays = _create(folder, volume.shape, voxel_size_angstrom, levels, np.dtype(dtype), facts)
        for start in _block_starts(volume.shape):
            block = _stored(volume.read(_box(start, volume.shape)), arrays[0].dtype)
            for level, array in enumerate(arrays):
                if level:
                    block = halved(block)
                corner = [first >> level for first in start]
                region = tuple(slice(c, c + n) for c, n in zip(corner, block.shape, strict=True))
                with _real_errors():
                    array[region] = block


def halved(block: NDArray[Any]) -> NDArray[Any]:
    """Return the means of 2 x 2 x 2 voxels, sizes rounded up; at an odd end, the mean of the voxels there are."""
    odd = [(0, size % 2) for size in block.shape]
    padded = np.pad(block, odd, mode="edge") if any(after for _, after in odd) else block
    z, y, x = (size // 2 for size in padded.shape)
    means: NDArray[Any] = padded.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5), dtype=np.float64)
    return means.astype(block.dtype)


def largest_label(labels: Volume) -> int:
    """Return the largest label of a volume, read block by block.

    Raises
    ------
    ValueError
        If a label is negative, no whole number, or too large to be exact in float32.
    """
    largest = 0
    for start in _block_starts(labels.shape):
        block = labels.read(_box(start, labels.shape))
        if (block < 0).any() or (block != np.floor(block)).any() or block.max(initial=0) >= 2**24:
            raise ValueError("labels must be whole numbers from 0 to 16777215")
        largest = max(largest, int(block.max(initial=0)))
    return largest


def relabelled(labels: Volume, new_labels: dict[int, int]) -> Volume:
    """Return a view of ``labels`` with every value replaced by ``new_labels[value]``; 0 stays 0."""
    return _Mapped(labels, _lookup(new_labels))


class _Mapped:
    def __init__(self, labels: Volume, function: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._labels = labels
        self._function = function

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._labels.shape

    def read(self, box: Box) -> NDArray[np.float32]:
        return self._function(self._labels.read(box))


def _lookup(new_labels: dict[int, int]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    table = np.full(max(new_labels, default=0) + 1, -1, dtype=np.int64)
    table[0] = 0
    for old, new in new_labels.items():
        table[old] = new

    def replace(block: NDArray[np.float32]) -> NDArray[np.float32]:
        values = block.astype(np.int64)
        if values.size and (values.min() < 0 or values.max() >= len(table) or (table[values] < 0).any()):
            raise ValueError(f"a label is not among those that have a name: {sorted(new_labels)}")
        return table[values].astype(np.float32)

    return replace


def _create(
    folder: Path,
    shape: tuple[int, int, int],
    voxel_size: float,
    levels: int,
    dtype: np.dtype[Any],
    facts: dict[str, Any],
) -> list[Any]:
    """Make the group and its empty arrays; return the arrays, finest first."""
    import zarr

    store = zarr.DirectoryStore(str(folder), dimension_separator="/")
    with _real_errors():
        group = zarr.group(store=store, overwrite=True)
        group.attrs.put({"multiscales": [_multiscale(voxel_size, levels)], ATTRIBUTE: facts})
        return [
            group.create_dataset(
                str(level),
                shape=tuple(-(-size // 2**level) for size in shape),
                chunks=(CHUNK, CHUNK, CHUNK),
                dtype=dtype,
                fill_value=0,
                dimension_separator="/",
            )
            for level in range(levels)
        ]


def _multiscale(voxel_size: float, levels: int) -> dict[str, Any]:
    return {
        "axes": [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"],
        "datasets": [
            {
                "coordinateTransformations": [{"scale": [voxel_size * 2**level] * 3, "type": "scale"}],
                "path": str(level),
            }
            for level in range(levels)
        ],
        "metadata": {},
        "name": "/",
        "version": "0.4",
    }


def _stored(block: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    return block if dtype == block.dtype else block.astype(dtype)


def _block_starts(shape: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    for z in range(0, shape[0], CHUNK):
        for y in range(0, shape[1], CHUNK):
            for x in range(0, shape[2], CHUNK):
                yield z, y, x


def _box(start: tuple[int, int, int], shape: tuple[int, int, int]) -> Box:
    z, y, x = (slice(first, min(first + CHUNK, size)) for first, size in zip(start, shape, strict=True))
    return z, y, x


@contextmanager
def _real_errors() -> Iterator[None]:
    """Raise the operating system's error that zarr hides behind a ``KeyError``."""
    try:
        yield
    except KeyError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
