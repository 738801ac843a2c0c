"""Training targets of instance labels, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DISTANCE_VOXELS: Final = 5.0
"""Distances from the background are clipped here: deeper inside, the number carries no more about the edge."""

_REACH: Final = 5


def boundary_and_distance(instances: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return the targets of the instance heads (thesis section 3.2.2).

    Parameters
    ----------
    instances
        ``(z, y, x)`` object ids, 0 for background.

    Returns
    -------
    boundary, distance
        bool: voxels with a face neighbour of another label, so it is two voxels thick; and float32 distance of an
        object's voxels from its own edge, clipped at :data:`MAX_DISTANCE_VOXELS`. The edge voxels' centres lie half a
        voxel inside; beyond the array nothing is known, and its faces are no edge.
    """
    ids = np.ascontiguousarray(instances)
    boundary = object_boundary(ids)
    core = (ids > 0) & ~boundary
    far = np.int32(3 * _REACH**2)
    squared = np.where(core, far, np.int32(0))
    for axis in range(3):
        swapped = np.ascontiguousarray(np.moveaxis(squared, axis, 0))
        squared = np.moveaxis(_nearest_along_first(swapped.reshape(len(swapped), -1)).reshape(swapped.shape), 0, axis)
    distance = np.where(ids > 0, np.sqrt(squared, dtype=np.float32) + np.float32(0.5), np.float32(0))
    return boundary, np.minimum(distance, np.float32(MAX_DISTANCE_VOXELS))


def object_boundary(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the voxels that have a face neighbour of another label, an object's or the background's."""
    boundary = np.zeros(instances.shape, np.bool_)
    _mark_boundary(np.ascontiguousarray(instances), boundary)
    return boundary


@njit(cache=True, nogil=True)
def _mark_boundary(ids: NDArray[np.int32], boundary: NDArray[np.bool_]) -> None:
    depth, height, width = ids.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                own = ids[z, y, x]
                if x + 1 < width and ids[z, y, x + 1] != own:
                    boundary[z, y, x] = boundary[z, y, x + 1] = True
                if y + 1 < height and ids[z, y + 1, x] != own:
                    boundary[z, y, x] = boundary[z, y + 1, x] = True
                if z + 1 < depth and ids[z + 1, y, x] != own:
                    boundary[z, y, x] = boundary[z + 1, y, x] = True


@njit(cache=True, nogil=True)
def _nearest_along_first(squared: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return ``min over j of squared[i + j] + j^2`` within reach; ``(n, m)``."""
    result = squared.copy()
    length, columns = squared.shape
    for i in range(length):
        for j in range(max(-_REACH, -i), min(_REACH, length - 1 - i) + 1):
            for column in range(columns):
                candidate = squared[i + j, column] + j * j
                result[i, column] = min(result[i, column], candidate)
    return result
