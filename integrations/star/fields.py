"""Ways to state places and orientations: the fields of columns that need geometry.

A column of a dialect names a field, such as ``centred.x`` or ``euler.rot``. Each way to state something is written and
read here, by `cryosiam.geometry` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.geometry import (
    binning_shift_angstrom,
    dynamo_euler_deg,
    dynamo_pixels,
    indices_from_positions,
    positions_from_dynamo_pixels,
    positions_from_indices,
    positions_from_relion5_centered,
    relion5_centered_angstrom,
    relion_euler_deg,
    rotations_from_dynamo_euler,
    rotations_from_relion_euler,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from cryosiam.integrations.star.frame import TomogramFrame

    Floats = NDArray[np.float64]

HOW: Final[Mapping[str, str]] = {
    "voxel_size_angstrom": "the voxel size of the picked tomogram; give --voxel-size Å",
    "pixel_size_angstrom": "the tilt series' pixel size; give --tomograms-star FILE, or --tilt-series-pixel-size Å",
    "unbinned_size_xyz": "the unbinned size of the tomogram; give --tomograms-star FILE, or --tomogram-size X,Y,Z",
    "optics": "voltage, spherical aberration and amplitude contrast; give --tomograms-star FILE",
}
"""What to do where a fact is not known."""

AXES: Final = ("x", "y", "z")


def known_size(frame: TomogramFrame, fact: str) -> float:
    """Return ``voxel_size_angstrom`` or ``pixel_size_angstrom`` of a frame.

    Raises
    ------
    InputError
        If it is not known.
    """
    value = getattr(frame, fact)
    if value is None:
        raise InputError(f"tomogram '{frame.name}' lacks {HOW[fact]}")
    return float(value)


@dataclass(frozen=True)
class Place:
    """A way to state a place.

    Parameters
    ----------
    write
        Frame and ``(n, 3)`` positions (x, y, z) in Å of the picked tomogram -> ``(n, 3)`` numbers of the columns.
    read
        The inverse. Its third argument is the length of the unit in Å where the file states it, else None.
    unit
        Fact of the frame that is the unit; None where numbers are in Å.
    """

    write: Callable[[TomogramFrame, Floats], Floats]
    read: Callable[[TomogramFrame, Floats, float | None], Floats]
    unit: str | None = None


def shift_angstrom(frame: TomogramFrame) -> float:
    """Return the place of the picked tomogram's first voxel in the tomogram of the tilt series, in Å."""
    if frame.binned_by_averaging == 1:
        return 0.0
    finer = known_size(frame, "voxel_size_angstrom") / frame.binned_by_averaging
    return binning_shift_angstrom(frame.binned_by_averaging, finer)


def _indices(fact: str, *, shifted: bool) -> Place:
    def write(frame: TomogramFrame, positions: Floats) -> Floats:
        moved = positions + shift_angstrom(frame) if shifted else positions
        return indices_from_positions(moved, known_size(frame, fact))[:, ::-1]

    def read(frame: TomogramFrame, numbers: Floats, unit: float | None) -> Floats:
        positions = positions_from_indices(numbers[:, ::-1], unit or known_size(frame, fact))
        return positions - shift_angstrom(frame) if shifted else positions

    return Place(write, read, fact)


def _centre(frame: TomogramFrame) -> tuple[tuple[float, float, float], float]:
    size = frame.unbinned_size_xyz
    if size is None:
        raise InputError(f"tomogram '{frame.name}' lacks {HOW['unbinned_size_xyz']}")
    return size, known_size(frame, "pixel_size_angstrom")


def _write_centred(frame: TomogramFrame, positions: Floats) -> Floats:
    return relion5_centered_angstrom(positions + shift_angstrom(frame), *_centre(frame))


def _read_centred(frame: TomogramFrame, numbers: Floats, unit: float | None) -> Floats:
    return positions_from_relion5_centered(numbers, *_centre(frame)) - shift_angstrom(frame)


def _whole_voxels(frame: TomogramFrame, positions: Floats) -> Floats:
    return np.rint(PLACES["voxel"].write(frame, positions)) + 0.0


def _rounding(frame: TomogramFrame, positions: Floats) -> Floats:
    """Return what rounding added, in Å: RELION takes ``rlnOrigin*Angst`` away from the coordinate."""
    rounded = PLACES["voxel"].read(frame, _whole_voxels(frame, positions), None)
    return rounded - positions


def _read_rounding(frame: TomogramFrame, numbers: Floats, unit: float | None) -> Floats:
    return -numbers


PLACES: Final[dict[str, Place]] = {
    "centred": Place(_write_centred, _read_centred),
    "unbinned_pixel": _indices("pixel_size_angstrom", shifted=True),
    "aligned_voxel": _indices("voxel_size_angstrom", shifted=True),
    "voxel": _indices("voxel_size_angstrom", shifted=False),
    "position": Place(lambda _, positions: positions, lambda _frame, numbers, _unit: numbers),
    "aligned_position": Place(
        lambda frame, positions: positions + shift_angstrom(frame),
        lambda frame, numbers, _unit: numbers - shift_angstrom(frame),
    ),
    "dynamo_pixel": Place(
        lambda frame, positions: dynamo_pixels(positions, known_size(frame, "voxel_size_angstrom")),
        lambda frame, numbers, unit: positions_from_dynamo_pixels(
            numbers, unit or known_size(frame, "voxel_size_angstrom")
        ),
        "voxel_size_angstrom",
    ),
}
"""Places. In the tomogram of the tilt series: Å from its centre (RELION 5), pixels (RELION 4), voxels as large as the
picked tomogram's (Warp), Å (M). In the picked tomogram: voxels, Å, voxels counted from a corner (Dynamo)."""
PLACES["whole_voxel"] = Place(_whole_voxels, PLACES["voxel"].read, "voxel_size_angstrom")
PLACES["rounding"] = Place(_rounding, _read_rounding)


@dataclass(frozen=True)
class Orientation:
    """A way to state orientations.

    Parameters
    ----------
    parts
        Names of its numbers.
    write
        ``(n, 3, 3)`` object -> tomogram matrices -> ``(n, k)`` numbers of the columns.
    read
        The inverse.
    """

    parts: tuple[str, ...]
    write: Callable[[Floats], Floats]
    read: Callable[[Floats], Floats]


def _never_zero(rotations: Floats) -> Floats:
    """Return RELION angles, 360 for psi where all three would be 0.

    Warp leaves the angles of all particles out of its output if one has three zeros (ExportParticlesTiltseries.cs).
    """
    angles = relion_euler_deg(rotations)
    angles[(np.abs(angles) < 1e-3).all(axis=1), 2] = 360.0
    return angles


def _write_matrix(rotations: Floats) -> Floats:
    matrices = np.zeros((len(rotations), 3, 4))
    matrices[:, :, :3] = rotations
    return matrices.reshape(-1, 12)


_RELION: Final = ("rot", "tilt", "psi")
ORIENTATIONS: Final[Mapping[str, Orientation]] = {
    "euler": Orientation(_RELION, relion_euler_deg, rotations_from_relion_euler),
    "warp_euler": Orientation(_RELION, _never_zero, rotations_from_relion_euler),
    "dynamo_euler": Orientation(("tdrot", "tilt", "narot"), dynamo_euler_deg, rotations_from_dynamo_euler),
    "m_species_euler": Orientation(_RELION, relion_euler_deg, rotations_from_relion_euler),
    "matrix": Orientation(
        tuple(f"{row}{column}" for row in range(3) for column in range(4)),
        _write_matrix,
        lambda numbers: np.ascontiguousarray(numbers.reshape(-1, 3, 4)[:, :, :3]),
    ),
}
"""Orientations: RELION's angles, those that Warp keeps, Dynamo's, M's, and the rows of copick's matrix."""
