"""IMOD's ``.xf`` transforms and ``.tlt`` angles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import TiltAlignment
from cryosiam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_tilt_angles(path: Path) -> NDArray[np.float64]:
    """Read a ``.tlt`` or ``.rawtlt`` file: one tilt angle in degrees per line.

    Returns
    -------
    NDArray
        ``(n,)`` angles in the order of the stack.

    Raises
    ------
    InputError
        If the file is missing, empty, or a line is no angle.
    """
    return _read_table(path, 1, "tilt angles")[:, 0]


def read_transforms(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read an ``.xf`` file: ``A11 A12 A21 A22 DX DY`` per line.

    Returns
    -------
    tuple of NDArray
        ``(n, 2, 2)`` matrices on column vectors (x, y), and ``(n, 2)`` shifts (x, y) in pixels of the stack that
        the file was made for.

    Raises
    ------
    InputError
        If the file is missing, empty, a line has not six numbers, or a matrix has no inverse.
    """
    table = _read_table(path, 6, "transforms")
    matrices = table[:, :4].reshape(-1, 2, 2)
    flat = np.flatnonzero(np.abs(np.linalg.det(matrices)) < 1e-6)
    if flat.size:
        raise InputError(f"line {flat[0] + 1} of {path} is a transform without inverse; align that tilt again")
    return matrices, table[:, 4:]


def alignment_from_imod(
    tilt_angles_deg: NDArray[np.float64],
    matrices: NDArray[np.float64],
    shifts_px: NDArray[np.float64],
    pixel_size_angstrom: float,
    image_shape_yx: tuple[int, int],
    image_pixel_size_angstrom: float,
) -> TiltAlignment:
    """Turn IMOD's alignment into ours.

    IMOD turns about the middle of the image, ``(size - 1) / 2`` counted from the centre of the first pixel, and
    we about pixel ``size // 2``; the difference goes into the shift. Its tilt angles mean what ours do,
    ``u = x cos(t) + z sin(t)``, so they keep their sign.

    Parameters
    ----------
    tilt_angles_deg
        ``(n,)`` angles.
    matrices, shifts_px
        As :func:`read_transforms` returns them.
    pixel_size_angstrom
        Pixel size of the stack that the transforms were made for.
    image_shape_yx, image_pixel_size_angstrom
        Size and pixel size of the images to be aligned; they may be binned.

    Returns
    -------
    TiltAlignment
        Shifts in Å, about pixel ``size // 2`` of the images.
    """
    to_our_centre = matrices @ (_middle_to_centre_px(image_shape_yx) * image_pixel_size_angstrom)
    return TiltAlignment(tilt_angles_deg, matrices, shifts_px * pixel_size_angstrom + to_our_centre)


def imod_from_alignment(
    alignment: TiltAlignment, pixel_size_angstrom: float, image_shape_yx: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn our alignment into the numbers of an ``.xf`` file; the inverse of :func:`alignment_from_imod`.

    Parameters
    ----------
    alignment
        About pixel ``size // 2`` of the images.
    pixel_size_angstrom, image_shape_yx
        Of the stack that the file is for.

    Returns
    -------
    tuple of NDArray
        ``(n, 2, 2)`` matrices on column vectors (x, y), and ``(n, 2)`` shifts (x, y) in pixels.
    """
    shifts = alignment.shifts_angstrom / pixel_size_angstrom
    return alignment.matrices, shifts - alignment.matrices @ _middle_to_centre_px(image_shape_yx)


def _middle_to_centre_px(image_shape_yx: tuple[int, int]) -> NDArray[np.float64]:
    """Return the way (x, y) from IMOD's middle of an image to ours."""
    height, width = image_shape_yx
    return np.array([width // 2 - (width - 1) / 2, height // 2 - (height - 1) / 2])


def _read_table(path: Path, columns: int, what: str) -> NDArray[np.float64]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; give the file of {what}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text; give the file of {what}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            numbers = "one number" if columns == 1 else f"{columns} numbers"
            raise InputError(f"line {number} of {path} is not {numbers}; give the file of {what}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} is empty; give the file of {what}")
    return np.array(rows, np.float64)
