"""Write OME-Zarr 0.4 as copick lays it out, block by block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.integrations.copick.folders import whole_folder
from cryosiam.integrations.copick.ome import ATTRIBUTE
from cryosiam.integrations.volumes import BLOCK, boxes
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from cryosiam.domain.tomogram import Volume


def write_volume(
    path: Path, volume: Volume, voxel_size_angstrom: float, levels: int, dtype: DTypeLike, facts: dict[str, Any]
) -> None:
    """Write a volume and its pyramid of 2-fold means, whole or not at all.

    One block of 256 cubed voxels is in memory at a time. Where a size is odd, the last voxel of the next level is
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
        for box in boxes(volume.shape):
            block = volume.read(box).astype(dtype, copy=False)
            for level, array in enumerate(arrays):
                if level:
                    block = halved(block)
                corner = [side.start >> level for side in box]
                region = tuple(slice(first, first + size) for first, size in zip(corner, block.shape, strict=True))
                with real_errors():
                    array[region] = block


def halved(block: NDArray[Any]) -> NDArray[Any]:
    """Return the means of 2 x 2 x 2 voxels, sizes rounded up; at an odd end, the mean of the voxels there are."""
    odd = [(0, size % 2) for size in block.shape]
    padded = np.pad(block, odd, mode="edge") if any(after for _, after in odd) else block
    z, y, x = (size // 2 for size in padded.shape)
    means: NDArray[Any] = padded.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5), dtype=np.float64)
    return means.astype(block.dtype)


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
    with real_errors():
        group = zarr.group(store=store, overwrite=True)
        group.attrs.put({"multiscales": [_multiscale(voxel_size, levels)], ATTRIBUTE: facts})
        return [
            group.create_dataset(
                str(level),
                shape=tuple(-(-size // 2**level) for size in shape),
                chunks=(BLOCK, BLOCK, BLOCK),
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


@contextmanager
def real_errors() -> Iterator[None]:
    """Raise the operating system's error that zarr hides behind a ``KeyError``."""
    try:
        yield
    except KeyError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
