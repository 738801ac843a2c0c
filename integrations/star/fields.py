"""The quantities that columns carry: how each is had from picks, and how places are had back.

A column of a dialect names a field of this module. All geometry is that of `cryosiam.geometry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.geometry import (
    binning_shift_angstrom,
    indices_from_positions,
    positions_from_indices,
    positions_from_relion5_centered,
    relion5_centered_angstrom,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from cryosiam.integrations.star.frame import TomogramFrame

    Points = NDArray[np.float64]

_HOW: Final = {
    "voxel_size_angstrom": "the voxel size of the tomogram",
    "pixel_size_angstrom": "the tilt series' pixel size (give --tomograms-star FILE, or --tilt-series-pixel-size Å)",
    "unbinned_size_xyz": "the unbinned tomogram size (give --tomograms-star FILE, or --tomogram-size X,Y,Z)",
}


@dataclass(frozen=True)
class Place:
    """A way to state a place.

    Parameters
    ----------
    write
        Frame and ``(n, 3)`` positions (x, y, z) in Å of the picked tomogram -> ``(n, 3)`` numbers of the columns.
    read
        The inverse.
    """

    write: Callable[[TomogramFrame, Points], Points]
    read: Callable[[TomogramFrame, Points], Points]


def _known(frame: TomogramFrame, fact: str) -> float:
    value = getattr(frame, fact)
    if value is None:
        raise InputError(f"{_HOW[fact]} is not known for tomogram '{frame.name}'")
    return float(value)


def _size(frame: TomogramFrame) -> tuple[float, float, float]:
    if frame.unbinned_size_xyz is None:
        raise InputError(f"{_HOW['unbinned_size_xyz']} is not known for tomogram '{frame.name}'")
    return frame.unbinned_size_xyz


def _shift(frame: TomogramFrame) -> float:
    """Return what lies between position 0 of the picked tomogram and that of the tilt series' tomogram, in Å."""
    if frame.binned_by_averaging == 1:
        return 0.0
    return binning_shift_angstrom(
        frame.binned_by_averaging, _known(frame, "voxel_size_angstrom") / frame.binned_by_averaging
    )


def _in_units(fact: str, shifted: bool) -> Place:
    def write(frame: TomogramFrame, positions: Points) -> Points:
        moved = positions + _shift(frame) if shifted else positions
        return indices_from_positions(moved, _known(frame, fact))[:, ::-1]

    def read(frame: TomogramFrame, numbers: Points) -> Points:
        positions = positions_from_indices(numbers[:, ::-1], _known(frame, fact))
        return positions - _shift(frame) if shifted else positions

    return Place(write, read)


def _write_centred(frame: TomogramFrame, positions: Points) -> Points:
    return relion5_centered_angstrom(positions + _shift(frame), _size(frame), _known(frame, "pixel_size_angstrom"))


def _read_centred(frame: TomogramFrame, numbers: Points) -> Points:
    positions = positions_from_relion5_centered(numbers, _size(frame), _known(frame, "pixel_size_angstrom"))
    return positions - _shift(frame)


PLACES: Final[Mapping[str, Place]] = {
    "position": Place(lambda _, positions: positions, lambda _, numbers: numbers),
    "voxel": _in_units("voxel_size_angstrom", shifted=False),
    "aligned_voxel": _in_units("voxel_size_angstrom", shifted=True),
    "unbinned_pixel": _in_units("pixel_size_angstrom", shifted=True),
    "centred": Place(_write_centred, _read_centred),
}
"""Ways to state a place: in Å or voxels of the picked tomogram, in voxels or pixels of the tilt series' tomogram, in Å
from that one's centre."""
