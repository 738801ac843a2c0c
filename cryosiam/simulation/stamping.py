"""Draw one particle into a canvas: its density, its mask and its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosiam.geometry import volume_centre_index
from cryosiam.simulation.canvas import CLASS_INDEX
from cryosiam.simulation.rotation import rotate_cube, rotate_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.species import Species

Cubes = tuple["NDArray[np.float32]", "NDArray[np.bool_]", "NDArray[np.int64]"]
"""Density, mask, and the canvas index (z, y, x) of their first voxel."""


def posed(species: Species, index_zyx: NDArray[np.float64], rotation: NDArray[np.float64]) -> Cubes:
    """Return a particle's density and mask in a pose.

    Parameters
    ----------
    species
        What to draw.
    index_zyx
        ``(3,)`` fractional voxel index of its centre.
    rotation
        ``(3, 3)`` object -> tomogram, acting on (x, y, z).
    """
    rotation = np.ascontiguousarray(rotation, np.float64)
    nearest = np.round(index_zyx).astype(np.int64)
    offset_xyz = (np.asarray(index_zyx, np.float64) - nearest)[::-1].copy()
    density = rotate_cube(species.density, rotation, offset_xyz)
    mask = rotate_mask(species.mask, rotation, offset_xyz)
    return density, mask, nearest - volume_centre_index(density.shape[0])


def fits(canvas: Canvas, cubes: Cubes, allowed_class: int = 0) -> bool:
    """Tell whether a posed particle's mask lies in the slab and meets nothing but ``allowed_class``.

    It may leave the volume through the x and y faces, as at the edge of any field of view, but not through z, and the
    voxel of its centre lies inside.
    """
    _, mask, corner = cubes
    centre = corner + volume_centre_index(mask.shape[0])
    if (centre < 0).any() or (centre >= canvas.shape).any():
        return False
    inner, outer = _overlap(canvas, mask.shape, corner)
    if mask[: inner[0].start].any() or mask[inner[0].stop :].any():
        return False
    wanted = mask[inner]
    semantic = canvas.semantic[outer]
    blocked = ~canvas.sample[outer] | ((semantic != 0) & (semantic != allowed_class))
    return bool(wanted.any()) and not bool((wanted & blocked).any())


def stamp(canvas: Canvas, cubes: Cubes, instance_id: int, *, replace: bool = False) -> float:
    """Draw a posed particle.

    Parameters
    ----------
    canvas
        Drawn on.
    cubes
        From :func:`posed`.
    instance_id
        Id that its voxels get.
    replace
        Inside the mask, take the place of what was there (lipids) instead of adding to it.

    Returns
    -------
    float
        Share of the mask that lies inside the volume.
    """
    density, mask, corner = cubes
    inner, outer = _overlap(canvas, mask.shape, corner)
    wanted = mask[inner]
    if replace:
        canvas.density[outer][wanted] = 0
        canvas.scaffold[outer][wanted] = 0
    canvas.density[outer] += density[inner]
    canvas.instances[outer][wanted] = instance_id
    canvas.semantic[outer][wanted] = CLASS_INDEX["particle"]
    return float(wanted.sum() / mask.sum())


def _overlap(
    canvas: Canvas, shape: tuple[int, ...], corner: NDArray[np.int64]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the part of a cube that lies in the canvas, in the cube's and in the canvas' indices."""
    low = np.clip(-corner, 0, shape)
    high = np.clip(np.array(canvas.shape) - corner, low, shape)
    inner = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    outer = tuple(slice(int(a + c), int(b + c)) for a, b, c in zip(low, high, corner, strict=True))
    return inner, outer
