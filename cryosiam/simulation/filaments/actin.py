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

_SIGMA_ANGSTROM: Final = 5.5

# Centres of twenty clusters of the C-alpha atoms of an actin monomer, placed by the screw axis (166.16°, 27.5 Å) that
# relates the two chains of the filament model of Holmes et al. (Nature 347, 44, 1990); x radial, z to the barbed end.
MONOMER: Final = body(
    (
        (19.5, -7.8, -23.6, 0.067, _SIGMA_ANGSTROM),
        (11.7, 5.1, -19.3, 0.061, _SIGMA_ANGSTROM),
        (7.0, 13.5, -18.4, 0.056, _SIGMA_ANGSTROM),
        (6.1, 25.6, -9.3, 0.048, _SIGMA_ANGSTROM),
        (27.4, -7.8, -8.9, 0.069, _SIGMA_ANGSTROM),
        (15.1, -11.2, -7.5, 0.059, _SIGMA_ANGSTROM),
        (12.2, 16.2, -1.8, 0.056, _SIGMA_ANGSTROM),
        (9.2, 2.5, 0.6, 0.051, _SIGMA_ANGSTROM),
        (37.8, -16.6, 1.4, 0.045, _SIGMA_ANGSTROM),
        (23.5, -22.0, 1.7, 0.029, _SIGMA_ANGSTROM),
        (-4.5, 8.5, 4.2, 0.035, _SIGMA_ANGSTROM),
        (22.8, 5.6, 4.9, 0.056, _SIGMA_ANGSTROM),
        (33.9, -4.4, 4.9, 0.051, _SIGMA_ANGSTROM),
        (13.0, -12.0, 6.8, 0.037, _SIGMA_ANGSTROM),
        (27.5, -13.9, 10.3, 0.048, _SIGMA_ANGSTROM),
        (23.0, -25.6, 11.9, 0.043, _SIGMA_ANGSTROM),
        (7.1, 14.7, 13.3, 0.043, _SIGMA_ANGSTROM),
        (20.8, 7.1, 14.5, 0.048, _SIGMA_ANGSTROM),
        (11.0, 0.3, 19.8, 0.056, _SIGMA_ANGSTROM),
        (13.5, 14.4, 22.3, 0.043, _SIGMA_ANGSTROM),
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
