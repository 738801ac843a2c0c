"""F-actin: a helix of monomers of four subdomains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.simulation.filaments.blobs import body
from cryosiam.simulation.filaments.paths import arc_lengths, set_along

if TYPE_CHECKING:
    from numpy.typing import NDArray

RISE_ANGSTROM: Final = 27.3
TWIST_DEG: Final = -166.6
PERSISTENCE_ANGSTROM: Final = 1e5
"""About 10 µm (Gittes et al. 1993)."""

TUBE_RADIUS_ANGSTROM: Final = 40.0
"""What counts as filament, from its axis."""

# Centres of eight clusters of the C-alpha atoms of an actin monomer, placed by the screw axis (166.16°, 27.5 Å) that
# relates the two chains of the filament model of Holmes et al. (Nature 347, 44, 1990); x radial, z to the barbed end.
MONOMER: Final = body(
    (
        (23.3, -21.1, 8.6, 0.12, 5.2),
        (16.8, -3.6, -21.8, 0.13, 5.9),
        (4.2, 11.0, 7.3, 0.11, 6.3),
        (16.0, -8.8, -3.9, 0.12, 5.7),
        (8.4, 16.9, -11.9, 0.16, 6.2),
        (13.5, 6.8, 19.7, 0.13, 5.6),
        (34.9, -10.4, 0.5, 0.13, 5.5),
        (22.6, 4.8, 6.5, 0.11, 4.8),
    ),
    integral_a3=42_000 * 1.23,
)
"""Monomer of 42 kDa (1.23 Å³/Da), from the filament's axis."""


def actin_subunits(path: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the poses of the monomers along a path that runs to the barbed end.

    Parameters
    ----------
    path
        ``(n, 3)`` points (x, y, z) in Å.

    Returns
    -------
    centres
        ``(m, 3)`` points on the axis, in Å, :data:`RISE_ANGSTROM` apart.
    rotations
        ``(m, 3, 3)`` object -> tomogram, each :data:`TWIST_DEG` on from the one before; x is radial.
    """
    count = int(arc_lengths(path)[-1] / RISE_ANGSTROM) + 1
    index = np.arange(count)
    return set_along(path, np.stack([0.0 * index, np.deg2rad(TWIST_DEG) * index, RISE_ANGSTROM * index], axis=1))
