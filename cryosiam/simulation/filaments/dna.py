"""Double-stranded B-DNA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.simulation.filaments.blobs import body
from cryosiam.simulation.filaments.paths import arc_lengths, set_along

if TYPE_CHECKING:
    from numpy.typing import NDArray

RISE_ANGSTROM: Final = 3.32
BASE_PAIRS_PER_TURN: Final = 10.5
PERSISTENCE_ANGSTROM: Final = 500.0
TUBE_RADIUS_ANGSTROM: Final = 12.0

_BACKBONE_ANGLE_RAD: Final = np.deg2rad(94.9)
_BACKBONE_RADIUS_ANGSTROM: Final = 8.4
_BACKBONE_HEIGHT_ANGSTROM: Final = 2.08


def _backbone(sign: int) -> tuple[float, float, float, float, float]:
    """One strand's phosphate and sugar; the dyad of the base pair (x) turns one strand into the other."""
    return (
        _BACKBONE_RADIUS_ANGSTROM * float(np.cos(_BACKBONE_ANGLE_RAD)),
        sign * _BACKBONE_RADIUS_ANGSTROM * float(np.sin(_BACKBONE_ANGLE_RAD)),
        sign * _BACKBONE_HEIGHT_ANGSTROM,
        0.29,
        2.6,
    )


# Phosphates at 94.9° and 2.08 Å from the dyad (Arnott and Hukins 1972): a minor groove of 146°, a major one of 214°.
# Phosphate and sugar lie 8.4 Å from the axis on average, and are 58 % of the mass.
BASE_PAIR: Final = body(
    (_backbone(1), _backbone(-1), (0.0, 2.6, 0.0, 0.21, 2.6), (0.0, -2.6, 0.0, 0.21, 2.6)),
    integral_a3=650 * 0.913 * 1.4,
)
"""Base pair of 650 Da: 0.913 Å³/Da, 1.4 times as dense as protein."""


def dna_subunits(path: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the poses of the base pairs along a path.

    Parameters
    ----------
    path
        ``(n, 3)`` points (x, y, z) in Å.

    Returns
    -------
    centres
        ``(m, 3)`` points on the axis in Å, :data:`RISE_ANGSTROM` apart.
    rotations
        ``(m, 3, 3)`` object -> tomogram; x is the pair's dyad, each turned right-handed from the one before.
    """
    count = int(arc_lengths(path)[-1] / RISE_ANGSTROM) + 1
    index = np.arange(count)
    return set_along(
        path, np.stack([0.0 * index, 2 * np.pi / BASE_PAIRS_PER_TURN * index, RISE_ANGSTROM * index], axis=1)
    )
