"""Place microtubules and F-actin: long, nearly straight, in free space along the slab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.simulation.filaments.paths import arc_lengths, worm_like_chain
from cryosiam.simulation.filaments.tubes import free_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.slab import Slab

PATH_STEP_ANGSTROM: Final = 5.0

_TRIES: Final = 40
_LEAST_LENGTH_RADII: Final = 8.0


@dataclass(frozen=True)
class Rod:
    """What a nearly straight filament is like.

    Parameters
    ----------
    radius_angstrom, persistence_angstrom
        Of its tube, and persistence length.
    length_angstrom
        Contour length is drawn from this range.
    least_bend_radius_angstrom
        Bent in the slab's plane with a curvature drawn up to 1 / this; infinite for none.
    lean
        Standard deviation of the slope against the slab's middle plane, at least what spans it.
    """

    radius_angstrom: float
    persistence_angstrom: float
    length_angstrom: tuple[float, float]
    least_bend_radius_angstrom: float = np.inf
    lean: float = 0.0


def place_rod(canvas: Canvas, slab: Slab, rod: Rod, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Find a path for a filament.

    Parameters
    ----------
    canvas
        What is there; not changed.
    slab
        Kept within; the path may leave the volume through its x and y faces.
    rod
        What is placed.
    rng
        Source of randomness.

    Returns
    -------
    NDArray or None
        ``(n, 3)`` points (x, y, z) in Å, cut where the tube would meet something: the first path found that meets
        nothing, else the longest part. None where there is no room.
    """
    _, ny, nx = slab.shape
    least = min(_LEAST_LENGTH_RADII * rod.radius_angstrom, 0.5 * min(ny, nx) * slab.voxel_size_angstrom)
    longest: NDArray[np.float64] | None = None
    longest_length = least
    for _ in range(_TRIES):
        path, start = _drawn_path(slab, rod, rng)
        part, whole = free_run(canvas, path, start, rod.radius_angstrom)
        length = _visible_length(part, slab)
        if length < longest_length:
            continue
        longest, longest_length = part, length
        if whole:
            break
    return longest


def point_in_slab(slab: Slab, margin_angstrom: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a point (x, y, z in Å) between the faces, ``margin_angstrom`` or, if too thin, half-way from them."""
    _, ny, nx = slab.shape
    y, x = rng.uniform(0, ny - 1), rng.uniform(0, nx - 1)
    column = round(y), round(x)
    lower, upper = float(slab.lower[column]), float(slab.upper[column])
    half = max(0.0, (upper - lower) / 2 - margin_angstrom / slab.voxel_size_angstrom)
    z = (lower + upper) / 2 + rng.uniform(-half, half)
    return np.array([x, y, z]) * slab.voxel_size_angstrom


def _drawn_path(slab: Slab, rod: Rod, rng: np.random.Generator) -> tuple[NDArray[np.float64], int]:
    """Return a path along the slab and the index of the point that it was grown from, both ways."""
    start = point_in_slab(slab, rod.radius_angstrom + 2 * slab.voxel_size_angstrom, rng)
    azimuth = rng.uniform(0, 2 * np.pi)
    plane = np.array([np.cos(azimuth), np.sin(azimuth)])
    _, ny, nx = slab.shape
    middle = (slab.even_lower + slab.even_upper) / 2
    slope = np.array([(middle[0, -1] - middle[0, 0]) / (nx - 1), (middle[-1, 0] - middle[0, 0]) / (ny - 1)])
    height = float((slab.even_upper - slab.even_lower).mean()) * slab.voxel_size_angstrom
    room = max(0.0, height / 2 - rod.radius_angstrom) / (max(ny, nx) * slab.voxel_size_angstrom)
    direction = np.array([*plane, slope @ plane + rng.normal(0, max(rod.lean, 0.5 * room))])
    aside = np.array([-plane[1], plane[0], 0.0]) * rng.uniform(-1, 1) / rod.least_bend_radius_angstrom
    steps = int(rng.uniform(*rod.length_angstrom) / PATH_STEP_ANGSTROM)
    forward = int(steps * rng.uniform(0.2, 0.8))
    parts = [
        worm_like_chain(start, sign * direction, count, PATH_STEP_ANGSTROM, rod.persistence_angstrom, rng, aside)
        for sign, count in ((1, forward), (-1, steps - forward))
    ]
    return np.concatenate([parts[1][:0:-1], parts[0]]), steps - forward


def _visible_length(path: NDArray[np.float64], slab: Slab) -> float:
    """Return the length of a path within the volume's x and y faces."""
    if len(path) < 2:
        return 0.0
    _, ny, nx = slab.shape
    x, y = path[1:, 0] / slab.voxel_size_angstrom, path[1:, 1] / slab.voxel_size_angstrom
    inside = (x >= 0) & (x <= nx - 1) & (y >= 0) & (y <= ny - 1)
    return float((np.diff(arc_lengths(path)) * inside).sum())
