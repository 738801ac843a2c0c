"""What an MRC header says, checked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HEADER_BYTES: Final = 1024
ISOTROPY_TOLERANCE: Final = 1e-3
_IMOD_STAMP: Final = 1146047817
_STACK_OF_VOLUMES: Final = 401


@dataclass(frozen=True)
class MrcLayout:
    """Where and how the voxels of an MRC file lie.

    Parameters
    ----------
    shape
        Size (z, y, x).
    dtype
        Type of the voxels, with byte order.
    offset
        Bytes before the first voxel.
    voxel_size_angstrom
        ``(3,)`` voxel size (x, y, z) in Å as the header states it; 0 where it does not.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    voxel_size_angstrom: tuple[float, float, float]


def read_layout(path: Path) -> MrcLayout:
    """Read and check the header of an MRC file.

    Raises
    ------
    InputError
        If the file is compressed, is not MRC, is no volume of real numbers, has swapped axes, or is shorter than its
        header says.
    """
    header = _header(path)
    shape = (int(header.nz), int(header.ny), int(header.nx))
    axes = (int(header.mapc), int(header.mapr), int(header.maps))
    if axes not in ((1, 2, 3), (0, 0, 0)):
        raise InputError(f"{path} stores its axes in the order {axes}, not x, y, z; write it again with standard axes")
    if min(shape) < 2 or int(header.ispg) >= _STACK_OF_VOLUMES:
        raise InputError(f"{path} is not one volume (its size is {_text(shape)}); give a reconstructed tomogram")
    layout = MrcLayout(shape, _dtype(path, header), HEADER_BYTES + int(header.nsymbt), _voxel_size(header))
    wanted = layout.offset + int(np.prod(shape, dtype=np.int64)) * layout.dtype.itemsize
    size = path.stat().st_size
    if size < wanted:
        raise InputError(f"{path} is truncated: {size} of {wanted} bytes are there; copy or write it again")
    return layout


def voxel_size_of(path: Path, layout: MrcLayout) -> float:
    """Return the voxel size that the header states, in Å.

    Raises
    ------
    InputError
        If it is absent, not positive, or not the same along x, y and z.
    """
    sizes = np.array(layout.voxel_size_angstrom)
    text = " x ".join(f"{size:g}" for size in sizes)
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        raise InputError(f"{path} states no voxel size; give it with --voxel-size")
    if (sizes < 0).any():
        raise InputError(f"{path} states a voxel size of {text} Å; give the right one with --voxel-size")
    if np.ptp(sizes) > ISOTROPY_TOLERANCE * sizes.min():
        raise InputError(
            f"{path} states voxels of {text} Å, which are not cubes; give the right size with --voxel-size"
        )
    return round(float(sizes.mean()), 6)


def _header(path: Path) -> Any:
    import mrcfile

    if path.suffix in (".gz", ".bz2"):
        raise InputError(f"{path} is compressed and cannot be read piece by piece; unpack it first (gunzip)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, mode="r", header_only=True) as file:
                return file.header.copy()
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not an MRC file ({error}); give MRC or REC files") from error


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    """Return the type of the voxels; bytes that IMOD wrote without its signed flag are unsigned."""
    from mrcfile.utils import dtype_from_mode

    try:
        dtype = np.dtype(dtype_from_mode(header.mode))
    except ValueError as error:
        raise InputError(f"{path} has the unknown MRC mode {int(header.mode)}; write it as float32 (mode 2)") from error
    if dtype.kind not in "fiu":
        raise InputError(f"{path} holds {dtype} numbers (MRC mode {int(header.mode)}), not a volume; write mode 2")
    order = header.mode.dtype.byteorder
    stamp, flags = np.frombuffer(header.extra2.tobytes()[40:48], dtype=np.dtype("i4").newbyteorder(order))
    if dtype == np.int8 and stamp == _IMOD_STAMP and not flags & 1:
        dtype = np.dtype(np.uint8)
    ordered: np.dtype[Any] = dtype.newbyteorder(order)
    return ordered


def _voxel_size(header: Any) -> tuple[float, float, float]:
    cell = (float(header.cella.x), float(header.cella.y), float(header.cella.z))
    grid = (int(header.mx), int(header.my), int(header.mz))
    x, y, z = (length / count if count > 0 else 0.0 for length, count in zip(cell, grid, strict=True))
    return x, y, z


def _text(shape: tuple[int, int, int]) -> str:
    return " x ".join(str(size) for size in shape[::-1])
