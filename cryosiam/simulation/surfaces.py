"""Smooth surfaces for membranes: bent spheres and planes, with exact distances and normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS: Final = 30
_FULL_STEPS: Final = 10
_LONGEST_STEP_ANGSTROM: Final = 60.0
_TOLERANCE_ANGSTROM: Final = 0.03
_NODE_SPACING_ANGSTROM: Final = 21.0
_FLAT: Final = 1e-3
_ASIDE_ANGSTROM: Final = 0.5
_SURVEY_STEP: Final = 4
_STEEPER: Final = 1.15


@dataclass(frozen=True)
class Surface:
    """The zero level of ``base(w(x))``: an ellipsoid or a plane, seen through a smooth warp ``w`` of space.

    Each stage of the warp moves a point by a sum of sine waves, ``x + sum_k a_k sin(q_k . x + phase_k)``. As long as
    ``sum_k |a_k| |q_k| < 1`` in every stage, the warp is one to one, so that a warped sphere stays one closed
    surface that does not meet itself.

    Parameters
    ----------
    closed
        True for an ellipsoid, whose inside is negative; False for a plane.
    centre_angstrom
        ``(3,)`` of the ellipsoid, or a point on the plane, before the warp; (x, y, z).
    frame
        ``(3, 3)``. Ellipsoid: maps it onto the unit sphere. Plane: the first row is its unit normal.
    radius_angstrom
        Geometric mean of the ellipsoid's radii; 1 for a plane.
    waves
        ``(stages, n, 7)``: a (x, y, z in Å), q (x, y, z in rad/Å) and the phase of each wave.
    """

    closed: bool
    centre_angstrom: NDArray[np.float64]
    frame: NDArray[np.float64]
    radius_angstrom: float
    waves: NDArray[np.float64]

    def nearest(
        self, points_angstrom: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return signed distances, the nearest points of the surface, and the normals there.

        Parameters
        ----------
        points_angstrom
            ``(n, 3)`` positions (x, y, z) in Å, nearer to the surface than its radius of curvature.

        Returns
        -------
        tuple
            ``(n,)`` Å, negative inside; ``(n, 3)`` Å; ``(n, 3)`` unit vectors to the outside.
        """
        points = np.ascontiguousarray(points_angstrom, np.float64).reshape(-1, 3)
        return _nearest_many(points, self.closed, self.centre_angstrom, self.frame, self.radius_angstrom, self.waves)

    def bounds(self, reach_angstrom: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest x, y, z (``(3,)`` Å each) that are within a reach of the surface."""
        if not self.closed:
            return np.full(3, -np.inf), np.full(3, np.inf)
        sway = np.abs(self.waves[..., :3]).sum((0, 1))
        extent = np.linalg.norm(np.linalg.inv(self.frame), axis=1) + sway + reach_angstrom
        return self.centre_angstrom - extent, self.centre_angstrom + extent

    def spread_points(
        self, rng: np.random.Generator, count: int, field_angstrom: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return points (``(count, 3)``, x, y, z in Å) spread about a closed surface, or over a field of that size."""
        if not self.closed:
            return rng.uniform(0, field_angstrom, (count, 3))
        directions = rng.standard_normal((count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return self.centre_angstrom + directions * self.radius_angstrom

    def distances_on_nodes(
        self, corner_zyx: NDArray[np.int64], shape_zyx: NDArray[np.int64], voxel_size_angstrom: float, reach: float
    ) -> tuple[NDArray[np.float32], int]:
        """Return the signed distance on a coarse grid that covers a box with one node to spare.

        A distance changes slowly off its surface, so that every second or third voxel carries all of it.

        Parameters
        ----------
        corner_zyx, shape_zyx
            Box in voxels.
        voxel_size_angstrom
            Edge of the voxel.
        reach
            Distances are right up to here (Å), except where that is farther than the surface's radius of curvature:
            there they may be some Å long. Beyond, only their sign and ``abs(d) > reach`` are right.

        Returns
        -------
        tuple
            float32 nodes (z, y, x) in Å, and the voxels between two nodes; node ``i`` is at voxel
            ``corner + (i - 1) * step``.
        """
        step = max(1, int(_NODE_SPACING_ANGSTROM / voxel_size_angstrom))
        nodes = np.array([(int(n) - 1) // step + 4 for n in shape_zyx], np.int64)
        first = (np.asarray(corner_zyx, np.float64) - step) * voxel_size_angstrom
        # The farthest of the four nodes that a voxel is interpolated from along each axis.
        far = reach + 2 * np.sqrt(3) * step * voxel_size_angstrom
        distances = _node_distances(
            nodes,
            first[::-1].copy(),
            step * voxel_size_angstrom,
            far,
            self.closed,
            self.centre_angstrom,
            self.frame,
            self.radius_angstrom,
            self.waves,
        )
        return distances, step


@njit(cache=True, nogil=True)
def _value(
    point: NDArray[np.float64],
    gradient: NDArray[np.float64],
    cosines: NDArray[np.float64],
    closed: bool,
    centre: NDArray[np.float64],
    frame: NDArray[np.float64],
    radius: float,
    waves: NDArray[np.float64],
) -> float:
    """Return the level at a point, in about Å, and write its gradient; ``cosines`` (stages, n) is scratch."""
    x, y, z = point
    for stage in range(waves.shape[0]):
        dx = dy = dz = 0.0
        for k in range(waves.shape[1]):
            wave = waves[stage, k]
            angle = wave[3] * x + wave[4] * y + wave[5] * z + wave[6]
            sine = np.sin(angle)
            cosines[stage, k] = np.cos(angle)
            dx += wave[0] * sine
            dy += wave[1] * sine
            dz += wave[2] * sine
        x, y, z = x + dx, y + dy, z + dz
    x, y, z = x - centre[0], y - centre[1], z - centre[2]
    a = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z
    if closed:
        b = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z
        c = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z
        size = max(np.sqrt(a * a + b * b + c * c), 1e-6)
        level = radius * (size - 1)
        a, b, c = a * radius / size, b * radius / size, c * radius / size
    else:
        level = a
        a, b, c = 1.0, 0.0, 0.0
    gx = frame[0, 0] * a + frame[1, 0] * b + frame[2, 0] * c
    gy = frame[0, 1] * a + frame[1, 1] * b + frame[2, 1] * c
    gz = frame[0, 2] * a + frame[1, 2] * b + frame[2, 2] * c
    # The chain rule, last stage first.
    for stage in range(waves.shape[0] - 1, -1, -1):
        dx = dy = dz = 0.0
        for k in range(waves.shape[1]):
            wave = waves[stage, k]
            slope = (wave[0] * gx + wave[1] * gy + wave[2] * gz) * cosines[stage, k]
            dx += slope * wave[3]
            dy += slope * wave[4]
            dz += slope * wave[5]
        gx, gy, gz = gx + dx, gy + dy, gz + dz
    gradient[0], gradient[1], gradient[2] = gx, gy, gz
    return float(level)


@njit(cache=True, nogil=True)
def _nearest(
    start: NDArray[np.float64],
    found: NDArray[np.float64],
    normal: NDArray[np.float64],
    cosines: NDArray[np.float64],
    closed: bool,
    centre: NDArray[np.float64],
    frame: NDArray[np.float64],
    radius: float,
    waves: NDArray[np.float64],
) -> float:
    """Find the foot of the perpendicular from a point; returns the signed distance.

    Newton's step onto the surface, together with a slide along it towards the start, until both vanish; shorter
    slides after a while, as full ones need not settle where the surface bends as tightly as the point is far.
    """
    found[:] = start
    sign = 1.0
    for step in range(_STEPS):
        level = _value(found, normal, cosines, closed, centre, frame, radius, waves)
        steep = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        if steep < _FLAT:
            # The very centre, where no direction leads to the surface more than another.
            found[0] += _ASIDE_ANGSTROM
            level = _value(found, normal, cosines, closed, centre, frame, radius, waves)
            steep = max(np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), _FLAT)
        normal /= steep
        if step == 0 and level < 0:
            sign = -1.0
        off = start - found
        along = off[0] * normal[0] + off[1] * normal[1] + off[2] * normal[2]
        slide = 1.0 if step < _FULL_STEPS else 0.5
        onto = min(max(level / steep, -_LONGEST_STEP_ANGSTROM), _LONGEST_STEP_ANGSTROM)
        move = slide * (off - along * normal) - onto * normal
        found += move
        if move[0] ** 2 + move[1] ** 2 + move[2] ** 2 < _TOLERANCE_ANGSTROM**2:
            break
    off = start - found
    return float(sign * np.sqrt(off[0] ** 2 + off[1] ** 2 + off[2] ** 2))


@njit(cache=True, nogil=True)
def _nearest_many(
    points: NDArray[np.float64],
    closed: bool,
    centre: NDArray[np.float64],
    frame: NDArray[np.float64],
    radius: float,
    waves: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    distances = np.empty(len(points))
    found = np.empty((len(points), 3))
    normals = np.empty((len(points), 3))
    cosines = np.empty(waves.shape[:2])
    for i in range(len(points)):
        distances[i] = _nearest(points[i], found[i], normals[i], cosines, closed, centre, frame, radius, waves)
    return distances, found, normals


@njit(cache=True, nogil=True)
def _node_distances(
    nodes: NDArray[np.int64],
    first: NDArray[np.float64],
    spacing: float,
    far: float,
    closed: bool,
    centre: NDArray[np.float64],
    frame: NDArray[np.float64],
    radius: float,
    waves: NDArray[np.float64],
) -> NDArray[np.float32]:
    distances = np.empty((nodes[0], nodes[1], nodes[2]), np.float32)
    point, found, gradient = np.empty(3), np.empty(3), np.empty(3)
    cosines = np.empty(waves.shape[:2])
    steepest = 0.0
    for iz in range(0, nodes[0], _SURVEY_STEP):
        for iy in range(0, nodes[1], _SURVEY_STEP):
            for ix in range(0, nodes[2], _SURVEY_STEP):
                point[0], point[1], point[2] = first[0] + ix * spacing, first[1] + iy * spacing, first[2] + iz * spacing
                _value(point, gradient, cosines, closed, centre, frame, radius, waves)
                steepest = max(steepest, np.sqrt(gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2))
    steepest *= _STEEPER
    for iz in range(nodes[0]):
        point[2] = first[2] + iz * spacing
        for iy in range(nodes[1]):
            point[1] = first[1] + iy * spacing
            ix = 0
            while ix < nodes[2]:
                point[0] = first[0] + ix * spacing
                level = _value(point, gradient, cosines, closed, centre, frame, radius, waves)
                # The surface is at least this far, as the level rises nowhere faster.
                safe = abs(level) / steepest
                distance = np.sign(level) * far
                if safe < far:
                    distance = _nearest(point, found, gradient, cosines, closed, centre, frame, radius, waves)
                distances[iz, iy, ix] = min(max(distance, -far), far)
                ix += 1
                while safe - spacing > far and ix < nodes[2]:
                    safe -= spacing
                    distances[iz, iy, ix] = distances[iz, iy, ix - 1]
                    ix += 1
    return distances
