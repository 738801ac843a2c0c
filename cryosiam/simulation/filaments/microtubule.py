"""Microtubules of 12 to 15 protofilaments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.simulation.filaments.blobs import body
from cryosiam.simulation.filaments.paths import arc_lengths, set_along

if TYPE_CHECKING:
    from numpy.typing import NDArray

MONOMER_RISE_ANGSTROM: Final = 40.9
LATERAL_SPACING_ANGSTROM: Final = 2 * np.pi * 112.0 / 13
"""Distance of neighbouring protofilaments along the wall: 13 of them lie 112 Å from the axis."""

LATERAL_OFFSET_ANGSTROM: Final = 3 * MONOMER_RISE_ANGSTROM / 13
"""Stagger of neighbouring protofilaments: that of 13, which run straight (Chrétien and Wade 1991)."""

HELIX_STARTS: Final = {12: 3, 13: 3, 14: 3, 15: 4}
"""Starts of the monomer helix in the common lattices (Chrétien and Wade 1991)."""

PERSISTENCE_ANGSTROM: Final = 2e7
"""A few mm (Gittes et al. 1993)."""

LEAST_BEND_RADIUS_ANGSTROM: Final = 5e4
"""Bends in cells are far beyond thermal: radii down to some µm."""

WALL_HALF_THICKNESS_ANGSTROM: Final = 22.0

_SIGMA_ANGSTROM: Final = 5.5

# Centres of twenty clusters of the C-alpha atoms of beta tubulin (PDB 1TUB, Nogales et al. 1998); z from alpha to beta
# (the plus end), x outwards (towards helices H11 and H12), from the centre of mass.
MONOMER: Final = body(
    (
        (-3.4, 14.2, -17.5, 0.061, _SIGMA_ANGSTROM),
        (-7.8, 1.6, -14.7, 0.063, _SIGMA_ANGSTROM),
        (13.7, 12.5, -12.3, 0.068, _SIGMA_ANGSTROM),
        (8.9, -1.2, -8.2, 0.049, _SIGMA_ANGSTROM),
        (-8.3, -14.4, -8.1, 0.047, _SIGMA_ANGSTROM),
        (-20.0, -3.9, -8.1, 0.044, _SIGMA_ANGSTROM),
        (-14.1, 18.4, -6.6, 0.040, _SIGMA_ANGSTROM),
        (1.2, 12.1, -6.0, 0.049, _SIGMA_ANGSTROM),
        (4.4, -12.0, -3.5, 0.044, _SIGMA_ANGSTROM),
        (-19.4, -13.4, -0.0, 0.044, _SIGMA_ANGSTROM),
        (19.6, 4.6, 1.0, 0.042, _SIGMA_ANGSTROM),
        (-8.0, 0.6, 3.2, 0.049, _SIGMA_ANGSTROM),
        (-5.6, -16.2, 5.0, 0.047, _SIGMA_ANGSTROM),
        (8.5, -7.0, 5.9, 0.049, _SIGMA_ANGSTROM),
        (-7.9, 15.0, 6.8, 0.044, _SIGMA_ANGSTROM),
        (4.8, 9.1, 7.4, 0.047, _SIGMA_ANGSTROM),
        (-15.3, -6.3, 13.2, 0.030, _SIGMA_ANGSTROM),
        (15.8, 2.2, 14.9, 0.059, _SIGMA_ANGSTROM),
        (0.9, -11.7, 15.6, 0.073, _SIGMA_ANGSTROM),
        (16.1, -8.2, 18.5, 0.049, _SIGMA_ANGSTROM),
    ),
    integral_a3=50_000 * 1.23,
)
"""Tubulin monomer of 50 kDa (1.23 Å³/Da); alpha and beta are drawn alike."""


def wall_radius_angstrom(protofilaments: int) -> float:
    """Return the distance of the monomers' centres from the axis."""
    return protofilaments * LATERAL_SPACING_ANGSTROM / (2 * np.pi)


def tube_radius_angstrom(protofilaments: int) -> float:
    """Return the outer radius of what is labelled: the wall and the lumen."""
    return wall_radius_angstrom(protofilaments) + WALL_HALF_THICKNESS_ANGSTROM


def supertwist_rad_per_angstrom(protofilaments: int) -> float:
    """Return how fast protofilaments wind about the axis, right-handed positive.

    The wall keeps its lattice and is rolled up so that it closes after N protofilaments, S monomers on, which tips
    the protofilaments by ``(S a / N - offset) / spacing`` (Chrétien and Wade 1991): left-handed for 14, right-handed
    for 12 and 15, none for 13.
    """
    closing = HELIX_STARTS[protofilaments] * MONOMER_RISE_ANGSTROM / protofilaments
    tip = (closing - LATERAL_OFFSET_ANGSTROM) / LATERAL_SPACING_ANGSTROM
    return float(np.tan(tip) / wall_radius_angstrom(protofilaments))


def microtubule_subunits(
    path: NDArray[np.float64], protofilaments: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the poses of the monomers along a path that runs to the plus end.

    Parameters
    ----------
    path
        ``(n, 3)`` points (x, y, z) in Å.
    protofilaments
        12 to 15.

    Returns
    -------
    centres
        ``(m, 3)`` positions of the monomers in Å, protofilament by protofilament.
    rotations
        ``(m, 3, 3)`` object -> tomogram; x points outwards, z along the path.

    Notes
    -----
    The monomer helix is left-handed: it falls by S monomers in one right-handed turn.
    """
    radius, twist = wall_radius_angstrom(protofilaments), supertwist_rad_per_angstrom(protofilaments)
    rise = MONOMER_RISE_ANGSTROM * float(np.cos(np.arctan(twist * radius)))
    fall = HELIX_STARTS[protofilaments] * rise / protofilaments
    count = int(arc_lengths(path)[-1] / rise) + HELIX_STARTS[protofilaments] + 1
    number, monomer = np.meshgrid(np.arange(protofilaments), np.arange(count), indexing="ij")
    height = (monomer * rise - number * fall).ravel()
    angle = 2 * np.pi * number.ravel() / protofilaments + twist * height
    return set_along(path, np.stack([np.full(height.shape, radius), angle, height], axis=1))
