"""Training targets from ground-truth labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DISTANCE_VOXELS: Final = 5.0
"""Distances from the background are clipped here: deeper inside, the number carries no more about the edge."""


def touching(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the voxels of an object that have a face neighbour with another label (object or background)."""
    edge = np.zeros(instances.shape, bool)
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        differs = instances[tuple(low)] != instances[tuple(high)]
        edge[tuple(low)] |= differs
        edge[tuple(high)] |= differs
    return edge


def instance_targets(instances: NDArray[np.int32]) -> dict[str, NDArray[np.float32]]:
    """Return the targets of the instance heads (thesis section 3.2.2).

    Parameters
    ----------
    instances
        ``(z, y, x)`` object ids, 0 for background.

    Returns
    -------
    dict
        ``foreground`` and ``boundary`` (0 or 1) and ``distance`` from the object's own edge in voxels, clipped at
        `MAX_DISTANCE_VOXELS`. A boundary is two voxels thick: the outermost of the object and its neighbour.
    """
    foreground = instances > 0
    boundary = touching(instances)
    core = foreground & ~boundary
    # An edge voxel's centre lies half a voxel inside the object; the core behind it starts one voxel further in.
    distance = np.where(foreground, 0.5, 0.0).astype(np.float32)
    depth = ndimage.distance_transform_edt(core).astype(np.float32)
    distance[core] = depth[core] + 0.5
    return {
        "foreground": foreground.astype(np.float32),
        "boundary": boundary.astype(np.float32),
        "distance": np.minimum(distance, MAX_DISTANCE_VOXELS),
    }
