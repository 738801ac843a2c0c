"""Rotation of a particle's density and mask about its centre, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 3


@njit(cache=True, nogil=True)
def _cubic_weights(fraction: float) -> tuple[float, float, float, float]:
    """Return Keys' weights (a = -1/2) of the samples at -1, 0, 1 and 2 for a point ``fraction`` after sample 0."""
    t = fraction
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


@njit(cache=True, nogil=True)
def rotate_cube(
    cube: NDArray[np.float32], rotation: NDArray[np.float64], shift_xyz: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Rotate a cube about its centre voxel ``n // 2`` and shift it, with cubic convolution.

    A point ``p`` (x, y, z from the centre) of the object lands at ``rotation @ p + shift_xyz``. The interpolation is
    Keys' (IEEE Trans. ASSP 29, 1153, 1981): it reproduces polynomials up to the second degree, its weights add up to
    one, so the integral is kept, and it needs no prefilter.

    Parameters
    ----------
    cube
        ``(n, n, n)`` (z, y, x), n odd; what lies outside the largest ball in it is taken for empty.
    rotation
        ``(3, 3)``, acting on (x, y, z).
    shift_xyz
        ``(3,)`` in voxels, within half a voxel.

    Returns
    -------
    NDArray
        ``(n, n, n)``.
    """
    n = cube.shape[0]
    half = n // 2
    padded = np.zeros((n + 2 * _MARGIN, n + 2 * _MARGIN, n + 2 * _MARGIN), np.float32)
    padded[_MARGIN : n + _MARGIN, _MARGIN : n + _MARGIN, _MARGIN : n + _MARGIN] = cube
    out = np.zeros_like(cube)
    inverse = rotation.T
    reach_squared = (half + 0.5) ** 2
    for iz in range(n):
        dz = iz - half - shift_xyz[2]
        for iy in range(n):
            dy = iy - half - shift_xyz[1]
            for ix in range(n):
                dx = ix - half - shift_xyz[0]
                if dx * dx + dy * dy + dz * dz > reach_squared:
                    continue
                x = inverse[0, 0] * dx + inverse[0, 1] * dy + inverse[0, 2] * dz + half + _MARGIN
                y = inverse[1, 0] * dx + inverse[1, 1] * dy + inverse[1, 2] * dz + half + _MARGIN
                z = inverse[2, 0] * dx + inverse[2, 1] * dy + inverse[2, 2] * dz + half + _MARGIN
                jx, jy, jz = int(x), int(y), int(z)
                x0, x1, x2, x3 = _cubic_weights(x - jx)
                wy = _cubic_weights(y - jy)
                wz = _cubic_weights(z - jz)
                total = 0.0
                for kz in range(4):
                    plane = 0.0
                    for ky in range(4):
                        row = padded[jz + kz - 1, jy + ky - 1]
                        plane += wy[ky] * (x0 * row[jx - 1] + x1 * row[jx] + x2 * row[jx + 1] + x3 * row[jx + 2])
                    total += wz[kz] * plane
                out[iz, iy, ix] = total
    return out


@njit(cache=True, nogil=True)
def rotate_mask(
    mask: NDArray[np.bool_], rotation: NDArray[np.float64], shift_xyz: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Rotate a mask as :func:`rotate_cube` does a density: trilinear interpolation, cut at one half.

    The mask must leave a margin of one voxel at the cube's faces.
    """
    n = mask.shape[0]
    half = n // 2
    out = np.zeros((n, n, n), np.bool_)
    inverse = rotation.T
    for iz in range(n):
        dz = iz - half - shift_xyz[2]
        for iy in range(n):
            dy = iy - half - shift_xyz[1]
            for ix in range(n):
                dx = ix - half - shift_xyz[0]
                if dx * dx + dy * dy + dz * dz >= (half - 0.5) ** 2:
                    continue
                x = inverse[0, 0] * dx + inverse[0, 1] * dy + inverse[0, 2] * dz + half
                y = inverse[1, 0] * dx + inverse[1, 1] * dy + inverse[1, 2] * dz + half
                z = inverse[2, 0] * dx + inverse[2, 1] * dy + inverse[2, 2] * dz + half
                jx, jy, jz = int(x), int(y), int(z)
                fx, fy, fz = x - jx, y - jy, z - jz
                value = 0.0
                for kz in range(2):
                    wz = fz if kz else 1 - fz
                    low = mask[jz + kz, jy, jx] * (1 - fx) + mask[jz + kz, jy, jx + 1] * fx
                    high = mask[jz + kz, jy + 1, jx] * (1 - fx) + mask[jz + kz, jy + 1, jx + 1] * fx
                    value += wz * (low * (1 - fy) + high * fy)
                out[iz, iy, ix] = value > 0.5
    return out
