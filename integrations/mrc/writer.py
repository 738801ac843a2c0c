"""Write an MRC volume slab by slab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.integrations.mrc.header import HEADER_BYTES
from cryosiam.pipeline.storage import storage_errors, whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from cryosiam.domain.tomogram import Volume

SLAB_BYTES: Final = 32 * 2**20


def write_mrc(path: Path, volume: Volume, voxel_size_angstrom: float, dtype: DTypeLike) -> None:
    """Write a volume, whole or not at all; a few slices are in memory at a time.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    import mrcfile

    depth, height, width = volume.shape
    step = max(1, SLAB_BYTES // (4 * height * width))
    with storage_errors("cannot write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            total, squares, low, high = 0.0, 0.0, np.inf, -np.inf
            for start in range(0, depth, step):
                box = (slice(start, min(start + step, depth)), slice(0, height), slice(0, width))
                slab = volume.read(box).astype(dtype)
                total += float(slab.sum(dtype=np.float64))
                squares += float(np.square(slab, dtype=np.float64).sum())
                low, high = min(low, float(slab.min())), max(high, float(slab.max()))
                if start == 0:
                    with mrcfile.new(temporary, data=slab, overwrite=True) as file:
                        file.set_volume()
                else:
                    with temporary.open("ab") as stream:
                        stream.write(slab.data)
            mean = total / (depth * height * width)
            spread = max(0.0, squares / (depth * height * width) - mean * mean) ** 0.5
            _complete_header(temporary, volume.shape, voxel_size_angstrom, (low, high, mean, spread))


def _complete_header(
    path: Path, shape: tuple[int, int, int], voxel_size_angstrom: float, statistics: tuple[float, float, float, float]
) -> None:
    """Make the header, written for the first slab, that of the whole volume."""
    from mrcfile.dtypes import HEADER_DTYPE

    with path.open("r+b") as stream:
        header: NDArray[Any] = np.frombuffer(stream.read(HEADER_BYTES), dtype=HEADER_DTYPE).copy()
        header["nz"] = header["mz"] = shape[0]
        header["cella"] = tuple(np.float32(size * voxel_size_angstrom) for size in shape[::-1])
        header["dmin"], header["dmax"], header["dmean"], header["rms"] = statistics
        stream.seek(0)
        stream.write(header.tobytes())
