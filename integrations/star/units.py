"""Find coordinates that are in another unit than the one they were read in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.integrations.star.frame import TomogramFrame
    from cryosiam.integrations.star.particle_file import ParticleTable
    from cryosiam.integrations.star.tables import FramedPicks

_MARGIN: Final = 0.05
"""Share of the size by which a particle may lie outside of its tomogram."""
_CORNER: Final = 0.5
_ENOUGH: Final = 20
"""Number of particles from which their spread says something."""


def check_unit(table: ParticleTable, unit: str, sets: Sequence[FramedPicks], notes: list[str]) -> None:
    """Refuse particles most of which lie outside of their tomograms; note others that look wrong.

    Raises
    ------
    InputError
        If more than half of the particles lie outside.
    """
    known = [(entry, extent) for entry in sets for extent in [_extent(entry.frame)] if extent is not None]
    if not known:
        return
    shares = np.concatenate([entry.picks.positions_angstrom / extent for entry, extent in known])
    outside = int(((shares < -_MARGIN) | (shares > 1 + _MARGIN)).any(axis=1).sum())
    if 2 * outside > len(shares):
        raise InputError(
            f"{outside} of {len(shares)} particles in {table.path} lie outside of their tomograms when the file is "
            f"read as {table.dialect.name} ({unit}); its coordinates are in another unit or of other "
            "tomograms: say its dialect, or give the right pixel size and tomograms"
        )
    if outside:
        notes.append(f"{outside} of {len(shares)} particles in {table.path} lie outside of their tomograms")
    if len(shares) >= _ENOUGH and (shares[:, :2].max(axis=0) < _CORNER).all():
        notes.append(
            f"all particles in {table.path} lie in one corner of their tomograms; if they should not, their "
            f"coordinates are not in the unit they were read in ({unit})"
        )


def _extent(frame: TomogramFrame) -> NDArray[np.float64] | None:
    """Return the size (x, y, z) of a tomogram in Å, where it is known."""
    if frame.size_xyz is not None and frame.voxel_size_angstrom is not None:
        return np.array(frame.size_xyz) * frame.voxel_size_angstrom
    if frame.unbinned_size_xyz is not None and frame.pixel_size_angstrom is not None:
        return np.array(frame.unbinned_size_xyz) * frame.pixel_size_angstrom
    return None
