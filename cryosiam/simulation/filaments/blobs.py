"""Bodies made of Gaussians, and how they are drawn into a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from cryosiam.geometry import indices_from_positions
from cryosiam.simulation.species import SMOOTHING_VOXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH_SIGMAS = 3.7


@dataclass(frozen=True)
class Body:
    """A small body as a sum of round Gaussians.

    Parameters
    ----------
    offsets_angstrom
        ``(k, 3)`` centres (x, y, z) in the object, from the point that is set out.
    shares
        ``(k,)`` of the body's integral; they sum to 1.
    sigmas_angstrom
        ``(k,)`` standard deviations.
    integral_a3
        Integral of the density (bulk protein = 1) in Å³.
    """

    offsets_angstrom: NDArray[np.float64]
    shares: NDArray[np.float64]
    sigmas_angstrom: NDArray[np.float64]
    integral_a3: float


def body(rows: tuple[tuple[float, float, float, float, float], ...], integral_a3: float) -> Body:
    """Make a body of rows x, y, z, weight, sigma; weights are scaled to sum to 1."""
    table = np.array(rows, np.float64)
    return Body(table[:, :3], table[:, 3] / table[:, 3].sum(), table[:, 4], integral_a3)


def draw_bodies(
    density: NDArray[np.float32],
    voxel_size_angstrom: float,
    one: Body,
    centres_angstrom: NDArray[np.float64],
    rotations: NDArray[np.float64],
) -> None:
    """Add a body to a volume in many poses, limited to the voxel size.

    Parameters
    ----------
    density
        ``(z, y, x)`` added to; what lies beyond its faces is cut.
    voxel_size_angstrom
        Edge of its voxel.
    one
        What to draw.
    centres_angstrom, rotations
        ``(n, 3)`` (x, y, z) in Å, and ``(n, 3, 3)`` object -> tomogram.
    """
    offsets = np.einsum("nij,kj->nki", rotations, one.offsets_angstrom)
    indices = indices_from_positions((centres_angstrom[:, None] + offsets).reshape(-1, 3), voxel_size_angstrom)
    sigmas = np.hypot(one.sigmas_angstrom / voxel_size_angstrom, SMOOTHING_VOXELS)
    weights = one.shares * one.integral_a3 / voxel_size_angstrom**3
    count = len(centres_angstrom)
    _add_gaussians(density, indices, np.tile(sigmas, count), np.tile(weights, count))


@njit(cache=True, nogil=True)
def _add_gaussians(
    density: NDArray[np.float32],
    centres_zyx: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    """Add Gaussians of given integral; each is cut at a few sigmas and normalised along every axis."""
    shape = np.array(density.shape)
    widest = int(2 * _REACH_SIGMAS * sigmas.max()) + 3 if len(sigmas) else 1
    profile = np.empty((3, widest))
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    for c in range(centres_zyx.shape[0]):
        reach = _REACH_SIGMAS * sigmas[c]
        seen = True
        for a in range(3):
            centre = centres_zyx[c, a]
            first[a] = int(np.ceil(centre - reach))
            last[a] = int(np.floor(centre + reach))
            seen = seen and last[a] >= 0 and first[a] < shape[a]
            total = 0.0
            for i in range(last[a] - first[a] + 1):
                profile[a, i] = np.exp(-0.5 * ((first[a] + i - centre) / sigmas[c]) ** 2)
                total += profile[a, i]
            profile[a, : last[a] - first[a] + 1] /= total
        if not seen:
            continue
        for z in range(max(0, first[0]), min(shape[0] - 1, last[0]) + 1):
            pz = weights[c] * profile[0, z - first[0]]
            for y in range(max(0, first[1]), min(shape[1] - 1, last[1]) + 1):
                pzy = pz * profile[1, y - first[1]]
                for x in range(max(0, first[2]), min(shape[2] - 1, last[2]) + 1):
                    density[z, y, x] += np.float32(pzy * profile[2, x - first[2]])
