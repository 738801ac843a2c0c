"""Paths in space: worm-like chains, frames carried along them, and points set out on helices about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def worm_like_chain(
    start_xyz: NDArray[np.float64],
    direction_xyz: NDArray[np.float64],
    steps: int,
    step_angstrom: float,
    persistence_angstrom: float,
    rng: np.random.Generator,
    curvature_per_angstrom: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Grow a worm-like chain: ``<t(0) t(s)> = exp(-s / persistence)`` (Kratky and Porod 1949).

    Parameters
    ----------
    start_xyz, direction_xyz
        ``(3,)`` first point in Å, and direction there.
    steps, step_angstrom
        Number and length of the steps.
    persistence_angstrom
        Persistence length.
    rng
        Source of randomness.
    curvature_per_angstrom
        ``(3,)`` vector that the tangent drifts by per Å besides: a bend at rest, of radius 1 / its length.

    Returns
    -------
    NDArray
        ``(steps + 1, 3)`` points (x, y, z) in Å.
    """
    # A turn by an angle whose mean square is 2 step / persistence gives <cos> = exp(-step / persistence).
    kicks = rng.normal(0, np.sqrt(step_angstrom / persistence_angstrom), (steps, 3))
    if curvature_per_angstrom is not None:
        kicks += curvature_per_angstrom * step_angstrom
    tangent = direction_xyz / np.linalg.norm(direction_xyz)
    points: NDArray[np.float64] = _grow(np.asarray(start_xyz, np.float64), tangent, kicks, step_angstrom)
    return points


@njit(cache=True, nogil=True)
def turned(tangent: NDArray[np.float64], kick: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a unit vector towards the part of a vector across it, by that part's length in radians."""
    across = kick - (kick * tangent).sum() * tangent
    angle = np.sqrt((across * across).sum())
    if angle == 0:
        return tangent.copy()
    result = np.cos(angle) * tangent + np.sin(angle) / angle * across
    unit: NDArray[np.float64] = result / np.sqrt((result * result).sum())
    return unit


@njit(cache=True, nogil=True)
def _grow(
    start: NDArray[np.float64], tangent: NDArray[np.float64], kicks: NDArray[np.float64], step: float
) -> NDArray[np.float64]:
    points = np.empty((kicks.shape[0] + 1, 3))
    points[0] = start
    for i in range(kicks.shape[0]):
        tangent = turned(tangent, kicks[i])
        points[i + 1] = points[i] + step * tangent
    return points


def arc_lengths(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``(n,)`` distance along a path from its first point."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])


def frames(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(n, 3, 3)`` right-handed frames along a path, carried without twist.

    ``frames[i]`` has the columns normal, binormal, tangent, so it turns an object (x, y, z) whose axis is z into the
    path's direction at point i.
    """
    tangents = np.gradient(path, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normals = _carry(tangents)
    return np.stack([normals, np.cross(tangents, normals), tangents], axis=2)


@njit(cache=True, nogil=True)
def _carry(tangents: NDArray[np.float64]) -> NDArray[np.float64]:
    normals = np.empty_like(tangents)
    # Begin across the axis that the tangent leans to least.
    normal = np.zeros(3)
    normal[np.argmin(np.abs(tangents[0]))] = 1.0
    for i in range(tangents.shape[0]):
        normal = normal - (normal * tangents[i]).sum() * tangents[i]
        normal /= np.sqrt((normal * normal).sum())
        normals[i] = normal
    return normals


def set_along(
    path: NDArray[np.float64], cylindrical: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Set objects about a path at given radius, angle and height.

    Parameters
    ----------
    path
        ``(n, 3)`` points (x, y, z) in Å, closely spaced against its bends.
    cylindrical
        ``(m, 3)`` radius (Å), angle (radians, from the normal to the binormal of :func:`frames`: right-handed about
        the direction of the path) and distance along the path (Å). Those beyond its ends are left out.

    Returns
    -------
    centres
        ``(k, 3)`` positions (x, y, z) in Å.
    rotations
        ``(k, 3, 3)`` object -> tomogram: x points away from the path, z along it.
    """
    along = arc_lengths(path)
    inside = cylindrical[(cylindrical[:, 2] >= 0) & (cylindrical[:, 2] <= along[-1])]
    radius, angle, height = inside.T
    before = np.clip(np.searchsorted(along, height, side="right") - 1, 0, len(path) - 2)
    share = ((height - along[before]) / (along[before + 1] - along[before]))[:, None]
    base = frames(path)[np.where(share[:, 0] < 0.5, before, before + 1)]
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    spin = np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]).transpose(2, 0, 1)
    rotations = base @ spin
    axis = path[before] * (1 - share) + path[before + 1] * share
    return axis + radius[:, None] * rotations[:, :, 0], rotations
