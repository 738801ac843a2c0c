"""Which of the particles that CryoSiam found is the one that somebody else picked."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from cryosiam_scipion.convert import Pick

_AT_ONCE = 1000


def nearest(
    positions_voxels: Sequence[Sequence[float]], picks: Sequence[Pick], reach_voxels: float
) -> list[Pick | None]:
    """Return for every position (x, y, z) the nearest pick within reach, or None where there is none."""
    if not picks:
        return [None] * len(positions_voxels)
    found = np.array([pick.position_voxels for pick in picks], np.float64)
    wanted = np.array(positions_voxels, np.float64).reshape(-1, 3)
    matched: list[Pick | None] = []
    for first in range(0, len(wanted), _AT_ONCE):
        distances = np.linalg.norm(wanted[first : first + _AT_ONCE, None] - found[None], axis=2)
        places = distances.argmin(axis=1)
        near = distances[np.arange(len(places)), places] <= reach_voxels
        matched += [picks[place] if close else None for place, close in zip(places.tolist(), near.tolist())]
    return matched
