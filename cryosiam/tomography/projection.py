"""Projection of a volume along the beam, tilted about the y axis.

Geometry (the same as in back-projection): with x, z counted from the volume's centre voxel ``N // 2`` and u from
the image's centre pixel ``width // 2``, a point lands at ``u = x cos(t) + z sin(t)``; y is unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit, prange

from cryosiam.geometry import volume_centre_index

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_SMALLEST_COSINE: Final = 0.02
"""Rays that are flatter than this are not followed further into the mirror images."""


@njit(cache=True)
def _fold(index: int, size: int) -> int:
    """Mirror an index into ``0 .. size - 1`` (edge voxel repeated)."""
    index = index % (2 * size)
    return index if index < size else 2 * size - 1 - index


@njit(cache=True)
def _accumulate(row: NDArray[np.float32], line: NDArray[np.float32], weight: np.float32) -> None:
    for i in range(row.size):
        row[i] += weight * line[i]


@njit(parallel=True, cache=True)
def _project_zxy(
    volume: NDArray[np.float32],
    cosines: NDArray[np.float64],
    sines: NDArray[np.float64],
    width: int,
    centres: tuple[int, int, int],
    mirror: bool,
) -> NDArray[np.float32]:
    """Sum along rays; one output line per job, so the result does not depend on the number of threads."""
    nz, nx, ny = volume.shape
    centre_z, centre_x, centre_u = centres
    images = np.zeros((cosines.size, width, ny), np.float32)
    for job in prange(cosines.size * width):
        tilt = job // width
        iu = job - tilt * width
        c, s = cosines[tilt], sines[tilt]
        u = iu - centre_u
        row = images[tilt, iu]
        if abs(c) >= abs(s):
            for iz in range(nz):
                x = (u - (iz - centre_z) * s) / c + centre_x
                low = int(np.floor(x))
                fraction = x - low
                for step in range(2):
                    ix = low + step
                    weight = (fraction if step else 1.0 - fraction) / abs(c)
                    if mirror:
                        ix = _fold(ix, nx)
                    elif ix < 0 or ix >= nx:
                        continue
                    _accumulate(row, volume[iz, ix], np.float32(weight))
        else:
            # Steep rays: step along x, so that no voxel between two samples is missed.
            first, last = 0, nx
            if mirror:
                middle = centre_x + u * c / max(c * c, _SMALLEST_COSINE**2)
                reach = (max(centre_z, nz - 1 - centre_z) + 1) / max(abs(c), _SMALLEST_COSINE)
                first, last = int(np.floor(middle - reach)), int(np.ceil(middle + reach)) + 1
            for jx in range(first, last):
                z = (u - (jx - centre_x) * c) / s + centre_z
                if z <= -1 or z >= nz:
                    continue
                ix = _fold(jx, nx) if mirror else jx
                low = int(np.floor(z))
                fraction = z - low
                if low >= 0:
                    _accumulate(row, volume[low, ix], np.float32((1.0 - fraction) / abs(s)))
                if low + 1 < nz:
                    _accumulate(row, volume[low + 1, ix], np.float32(fraction / abs(s)))
    return images


def project(
    volume: NDArray[np.floating],
    tilt_angles_deg: ArrayLike,
    *,
    image_width: int | None = None,
    mirror: bool = False,
) -> NDArray[np.float32]:
    """Project a volume at every tilt.

    Parameters
    ----------
    volume
        ``(z, y, x)`` densities.
    tilt_angles_deg
        ``(n,)`` tilts about y in degrees.
    image_width
        Width of the images in pixels; by default that of the volume.
    mirror
        Continue the volume along x by its mirror image, as a sample goes on beyond a field of view;
        otherwise it is zero there.

    Returns
    -------
    NDArray
        ``(n, y, u)`` line integrals in units of density times voxel.

    Raises
    ------
    ValueError
        If the volume is not three-dimensional.
    """
    if volume.ndim != 3:
        raise ValueError(f"a volume has three axes, not {volume.ndim}")
    nz, _, nx = volume.shape
    width = nx if image_width is None else image_width
    tilts = np.deg2rad(np.atleast_1d(np.asarray(tilt_angles_deg, np.float64)))
    centres = (volume_centre_index(nz), volume_centre_index(nx), volume_centre_index(width))
    zxy = np.ascontiguousarray(volume.transpose(0, 2, 1), dtype=np.float32)
    images = _project_zxy(zxy, np.cos(tilts), np.sin(tilts), width, centres, mirror)
    result: NDArray[np.float32] = np.ascontiguousarray(images.transpose(0, 2, 1))
    return result
