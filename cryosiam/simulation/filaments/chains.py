"""Grow DNA through free space: a worm-like chain that turns away from what it would meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from cryosiam.simulation.filaments.dna import PERSISTENCE_ANGSTROM, RISE_ANGSTROM, TUBE_RADIUS_ANGSTROM
from cryosiam.simulation.filaments.paths import turned
from cryosiam.simulation.filaments.tubes import BLOCKED, GAP_VOXELS, OUTSIDE, ball_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas

_AHEAD_ANGSTROM: Final = 40.0
_SELF_DISTANCE_ANGSTROM: Final = 2 * TUBE_RADIUS_ANGSTROM + 4.0
_SELF_EXEMPT_STEPS: Final = 20
# The first kick of each step is thermal; the others, ever sharper, are for turning away.
_KICKS: Final = np.array([1.0, 1.0, 1.3, 1.6, 2.0, 2.0, 2.5, 2.5])


def grow_chain(
    canvas: Canvas,
    start: NDArray[np.float64],
    tangent: NDArray[np.float64],
    length_angstrom: float,
    rng: np.random.Generator,
    *,
    earlier: NDArray[np.float64] | None = None,
    own_id: int = 0,
    exempt_angstrom: float = 0.0,
    confined: bool = False,
) -> NDArray[np.float64]:
    """Grow a chain until it has its length, leaves the volume through an x or y face, or is stuck.

    Parameters
    ----------
    canvas
        What is there; not changed.
    start, tangent
        ``(3,)`` first point (x, y, z) in Å, and direction.
    length_angstrom
        Contour length.
    rng
        Source of randomness.
    earlier
        ``(m, 3)`` points of the same molecule, kept clear of.
    own_id, exempt_angstrom
        Over this first length the chain may lie in that particle, which it comes out of, and near ``earlier``.
    confined
        The chain turns away from the volume's x and y faces too.

    Returns
    -------
    NDArray
        ``(n, 3)`` points in Å, a base pair's rise apart, the start among them.
    """
    steps = max(1, round(length_angstrom / RISE_ANGSTROM))
    spread = np.sqrt(RISE_ANGSTROM / PERSISTENCE_ANGSTROM)
    kicks = rng.normal(0, spread, (steps, len(_KICKS), 3)) * _KICKS[:, None]
    previous = np.zeros((0, 3)) if earlier is None else earlier
    return _grow(
        canvas.semantic,
        canvas.sample,
        canvas.instances,
        canvas.voxel_size_angstrom,
        np.asarray(start, np.float64),
        tangent / np.linalg.norm(tangent),
        kicks,
        previous,
        own_id,
        int(exempt_angstrom / RISE_ANGSTROM),
        confined,
    )


@njit(cache=True, nogil=True)
def _grow(
    semantic: NDArray[np.uint8],
    sample: NDArray[np.bool_],
    instances: NDArray[np.int32],
    voxel: float,
    start: NDArray[np.float64],
    tangent: NDArray[np.float64],
    kicks: NDArray[np.float64],
    earlier: NDArray[np.float64],
    own_id: int,
    exempt: int,
    confined: bool,
) -> NDArray[np.float64]:
    radius = TUBE_RADIUS_ANGSTROM / voxel + GAP_VOXELS
    points = np.empty((kicks.shape[0] + 1, 3))
    points[0] = start
    for i in range(kicks.shape[0]):
        own = own_id if i < exempt else 0
        chosen = -1
        for k in range(kicks.shape[1]):
            heading = turned(tangent, kicks[i, k])
            here = points[i] + RISE_ANGSTROM * heading
            state = ball_state(semantic, sample, instances, here[::-1] / voxel, radius, own)
            if state == BLOCKED or (confined and state == OUTSIDE):
                continue
            if _meets(here, points[: max(0, i - _SELF_EXEMPT_STEPS)]) or (i >= exempt and _meets(here, earlier)):
                continue
            if chosen < 0:
                chosen = k
            there = here + _AHEAD_ANGSTROM * heading
            ahead = ball_state(semantic, sample, instances, there[::-1] / voxel, radius, own)
            if ahead == BLOCKED or (confined and ahead == OUTSIDE):
                continue
            chosen = k
            break
        if chosen < 0:
            return points[: i + 1]
        tangent = turned(tangent, kicks[i, chosen])
        points[i + 1] = points[i] + RISE_ANGSTROM * tangent
        if ball_state(semantic, sample, instances, points[i + 1][::-1] / voxel, radius, own) == OUTSIDE:
            return points[: i + 2]
    return points


@njit(cache=True, nogil=True)
def _meets(point: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    for j in range(others.shape[0]):
        square = (point[0] - others[j, 0]) ** 2 + (point[1] - others[j, 1]) ** 2 + (point[2] - others[j, 2]) ** 2
        if square < _SELF_DISTANCE_ANGSTROM**2:
            return True
    return False
