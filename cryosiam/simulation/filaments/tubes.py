"""Tubes about paths: whether they meet something, and what they label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from cryosiam.geometry import indices_from_positions
from cryosiam.simulation.canvas import CLASS_INDEX
from cryosiam.simulation.filaments.paths import frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas

BLOCKED: Final = 0
FREE: Final = 1
OUTSIDE: Final = 2

_HALF_DISC_VOXELS: Final = 0.87

GAP_VOXELS: Final = 1.5
"""Distance kept from what is there, so that labels do not touch."""


@njit(cache=True, nogil=True)
def ball_state(
    semantic: NDArray[np.uint8],
    sample: NDArray[np.bool_],
    instances: NDArray[np.int32],
    centre_zyx: NDArray[np.float64],
    radius: float,
    own_id: int,
) -> int:
    """Tell whether a ball (in voxels) lies in free space.

    Returns :data:`OUTSIDE` where it lies wholly beyond the x and y faces, :data:`BLOCKED` where it leaves the slab, the
    volume along z, or meets a label, unless that is particle ``own_id`` (0: none), else :data:`FREE`.
    """
    nz, ny, nx = semantic.shape
    cz, cy, cx = centre_zyx
    z0, z1 = int(np.ceil(cz - radius)), int(np.floor(cz + radius))
    y0, y1 = max(0, int(np.ceil(cy - radius))), min(ny - 1, int(np.floor(cy + radius)))
    x0, x1 = max(0, int(np.ceil(cx - radius))), min(nx - 1, int(np.floor(cx + radius)))
    if y0 > y1 or x0 > x1:
        return OUTSIDE
    if z0 < 0 or z1 >= nz:
        return BLOCKED
    for z in range(z0, z1 + 1):
        for y in range(y0, y1 + 1):
            left = radius * radius - (z - cz) ** 2 - (y - cy) ** 2
            for x in range(x0, x1 + 1):
                if (x - cx) ** 2 > left:
                    continue
                if not sample[z, y, x]:
                    return BLOCKED
                if semantic[z, y, x] != 0 and (own_id == 0 or instances[z, y, x] != own_id):
                    return BLOCKED
    return FREE


@njit(cache=True, nogil=True)
def _free_run(
    semantic: NDArray[np.uint8],
    sample: NDArray[np.bool_],
    instances: NDArray[np.int32],
    path_zyx: NDArray[np.float64],
    start: int,
    stride: int,
    radius: float,
) -> tuple[int, int, bool]:
    """Return the first and last point of the free run about ``start``, and whether nothing but faces ended it."""
    ends = np.array([start, start])
    whole = True
    if ball_state(semantic, sample, instances, path_zyx[start], radius, 0) != FREE:
        return start, start, False
    for side in range(2):
        sign = 2 * side - 1
        i = start + sign * stride
        while 0 <= i < path_zyx.shape[0]:
            state = ball_state(semantic, sample, instances, path_zyx[i], radius, 0)
            if state == BLOCKED:
                whole = False
                break
            ends[side] = i
            if state == OUTSIDE:
                break
            i += sign * stride
    return ends[0], ends[1], whole


def free_run(
    canvas: Canvas, path: NDArray[np.float64], start: int, radius_angstrom: float
) -> tuple[NDArray[np.float64], bool]:
    """Return the part of a path about a point whose tube meets nothing, and whether that is all within the volume.

    Parameters
    ----------
    canvas
        What is there.
    path
        ``(n, 3)`` evenly spaced points (x, y, z) in Å.
    start
        Index of the point that the part must hold; the part is empty if the tube is blocked there.
    radius_angstrom
        Of the tube.
    """
    voxel = canvas.voxel_size_angstrom
    indices = indices_from_positions(path, voxel)
    step = float(np.linalg.norm(path[1] - path[0]))
    stride = max(1, int(min(radius_angstrom / 4, 2 * voxel) / step))
    first, last, whole = _free_run(
        canvas.semantic, canvas.sample, canvas.instances, indices, start, stride, radius_angstrom / voxel + GAP_VOXELS
    )
    return path[first : last + 1] if last > first else path[:0], whole


def label_tube(
    canvas: Canvas, path: NDArray[np.float64], radius_angstrom: float, class_name: str, scaffold_id: int
) -> None:
    """Label the free voxels of the slab within a radius of a path, with flat ends.

    Parameters
    ----------
    canvas
        Labelled.
    path
        ``(n, 3)`` points (x, y, z) in Å, at most a voxel apart.
    radius_angstrom
        Of the tube; thin ones are labelled at least a voxel wide to either side.
    class_name, scaffold_id
        What they are labelled as.
    """
    voxel = canvas.voxel_size_angstrom
    _label(
        canvas.semantic,
        canvas.scaffold,
        canvas.sample,
        indices_from_positions(path, voxel),
        np.ascontiguousarray(frames(path)[:, ::-1, 2]),
        max(radius_angstrom / voxel, 1.0),
        CLASS_INDEX[class_name],
        scaffold_id,
    )


@njit(cache=True, nogil=True)
def _label(
    semantic: NDArray[np.uint8],
    scaffold: NDArray[np.uint16],
    sample: NDArray[np.bool_],
    path_zyx: NDArray[np.float64],
    tangents_zyx: NDArray[np.float64],
    radius: float,
    class_index: int,
    scaffold_id: int,
) -> None:
    nz, ny, nx = semantic.shape
    for c in range(path_zyx.shape[0]):
        cz, cy, cx = path_zyx[c]
        tz, ty, tx = tangents_zyx[c]
        for z in range(max(0, int(np.ceil(cz - radius))), min(nz, int(np.floor(cz + radius)) + 1)):
            for y in range(max(0, int(np.ceil(cy - radius))), min(ny, int(np.floor(cy + radius)) + 1)):
                for x in range(max(0, int(np.ceil(cx - radius))), min(nx, int(np.floor(cx + radius)) + 1)):
                    along = (z - cz) * tz + (y - cy) * ty + (x - cx) * tx
                    square = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
                    inside = abs(along) <= _HALF_DISC_VOXELS and square <= radius * radius
                    if inside and semantic[z, y, x] == 0 and sample[z, y, x]:
                        semantic[z, y, x] = class_index
                        scaffold[z, y, x] = scaffold_id
