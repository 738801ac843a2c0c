"""Weighted back-projection of aligned tilt images.

Geometry: a voxel at (z, y, x) of a volume ``(depth, height, width)`` is seen in the image of tilt ``t`` at

``u = (x - width // 2) cos(t) + (z - depth // 2) sin(t) + image_width // 2`` and ``v = y``:

the tilt axis is the y axis through the centre index ``size // 2`` of x and z. The simulator's projector uses
the same rule. The filter is the ramp of filtered back-projection (Kak and Slaney, Principles of Computerized
Tomographic Imaging, 1988, section 3.3) with a Gaussian roll-off at high frequency.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numba
import numpy as np
from scipy import fft

from cryosiam.geometry import volume_centre_index

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cryosiam.domain.tomogram import Box

ROLL_OFF_START: Final = 0.35
"""Frequency in cycles per pixel up to which the filter is a pure ramp."""
ROLL_OFF_SIGMA: Final = 0.05
"""Standard deviation in cycles per pixel of the Gaussian fall beyond ``ROLL_OFF_START``."""

_SLAB_HEIGHT: Final = 64


def r_weight(
    images: NDArray[np.floating],
    roll_off_start: float = ROLL_OFF_START,
    roll_off_sigma: float = ROLL_OFF_SIGMA,
    oversampling: int = 1,
) -> NDArray[np.float32]:
    """Weight each image row by spatial frequency, across the tilt axis.

    The ramp ``|f|`` (cycles per pixel, sampled in real space so that its lowest frequencies are right) is
    followed by ``exp(-(f - start)^2 / (2 sigma^2))`` above ``roll_off_start``. Rows are continued by their
    mirror image, so that the image edge is no step.

    Parameters
    ----------
    images
        ``(n, y, x)`` aligned tilt images, tilt axis along y.
    roll_off_start
        Where the fall begins, cycles per pixel; 0.5 or more keeps the pure ramp.
    roll_off_sigma
        Width of the fall, cycles per pixel; 0 cuts sharply.
    oversampling
        Samples per pixel of the result along x, by Fourier interpolation; pixel ``i`` becomes sample
        ``i * oversampling``.

    Returns
    -------
    NDArray
        ``(n, y, x * oversampling)`` filtered images.

    Raises
    ------
    ValueError
        If a roll-off parameter is negative or not finite.
    """
    width = images.shape[-1]
    spectrum_filter = _ramp(2 * width, roll_off_start, roll_off_sigma)
    finer = oversampling * width
    weighted = np.empty((*images.shape[:-1], finer), np.float32)
    for image, target in zip(images, weighted, strict=True):
        padded = np.concatenate([image, image[:, ::-1]], axis=1, dtype=np.float32)
        filtered = fft.irfft(fft.rfft(padded, axis=1) * (spectrum_filter * oversampling), n=2 * finer, axis=1)
        target[:] = filtered[:, :finer]
    return weighted


def _ramp(length: int, roll_off_start: float, roll_off_sigma: float) -> NDArray[np.float32]:
    if not (np.isfinite([roll_off_start, roll_off_sigma]).all() and min(roll_off_start, roll_off_sigma) >= 0):
        raise ValueError("roll-off start and width must be zero or positive, in cycles per pixel")
    distance = np.minimum(np.arange(length), length - np.arange(length))
    odd = distance % 2 == 1
    kernel = np.zeros(length)
    kernel[0] = 0.25
    kernel[odd] = -1.0 / (np.pi * distance[odd]) ** 2
    ramp = fft.rfft(kernel).real
    beyond = np.maximum(fft.rfftfreq(length) - roll_off_start, 0.0)
    fall = np.exp(-0.5 * (beyond / roll_off_sigma) ** 2) if roll_off_sigma > 0 else (beyond == 0).astype(float)
    return (ramp * fall).astype(np.float32)


def back_project(
    images: NDArray[np.floating],
    tilt_angles_deg: ArrayLike,
    thickness: int,
    threads: int | None = None,
    oversampling: int = 1,
) -> NDArray[np.float32]:
    """Smear tilt images back into a volume, with linear interpolation.

    The sum over tilts is scaled by the mean tilt increment: with :func:`r_weight` and a full half turn the volume
    has the density that was projected.

    Parameters
    ----------
    images
        ``(n, y, x)`` aligned and weighted tilt images, tilt axis along y.
    tilt_angles_deg
        ``(n,)`` tilt angles in degrees.
    thickness
        Voxels along z of the volume.
    threads
        Threads to use; default all cores this process may use. The result does not depend on it.
    oversampling
        Samples per pixel that the images hold along x, see :func:`r_weight`. Linear interpolation between single
        pixels blurs fine detail and leaves about 1e-5 of the energy outside the planes that the tilts saw; four
        samples per pixel leave 1e-7.

    Returns
    -------
    NDArray
        Volume ``(z, y, x)`` of shape ``(thickness, images.shape[1], images.shape[2] // oversampling)``.

    Raises
    ------
    ValueError
        If the number of angles is not the number of images, or ``thickness`` is not positive.
    """
    volume = BackProjectedVolume(images, tilt_angles_deg, thickness, threads, oversampling)
    depth, height, width = volume.shape
    return volume.read((slice(0, depth), slice(0, height), slice(0, width)))


class BackProjectedVolume:
    """A volume that is back-projected region by region, when it is read; see :func:`back_project`.

    It holds the images (4 bytes per pixel), never the volume, so a reader that goes through it slab by slab needs
    memory for the images and one slab. A region has the same values whether it is read alone or with others.

    Parameters
    ----------
    images, tilt_angles_deg, thickness, threads, oversampling
        As of :func:`back_project`.

    Raises
    ------
    ValueError
        If the number of angles is not the number of images, or ``thickness`` is not positive.
    """

    def __init__(
        self,
        images: NDArray[np.floating],
        tilt_angles_deg: ArrayLike,
        thickness: int,
        threads: int | None = None,
        oversampling: int = 1,
    ) -> None:
        angles = np.radians(np.asarray(tilt_angles_deg, np.float64).ravel())
        if len(angles) != len(images) or not len(images):
            raise ValueError(f"{len(images)} images but {len(angles)} tilt angles")
        if thickness < 1:
            raise ValueError(f"thickness must be at least 1 voxel, not {thickness}")
        if images.shape[2] % oversampling:
            raise ValueError(f"images {images.shape[2]} samples wide do not hold {oversampling} per pixel")
        # y is innermost, so that the kernel's inner loop runs over contiguous memory.
        self._columns = np.ascontiguousarray(images.transpose(0, 2, 1), dtype=np.float32)
        self._cosines, self._sines = oversampling * np.cos(angles), oversampling * np.sin(angles)
        self._scale = np.float32(_mean_increment(angles))
        self._threads = threads or available_threads()
        self._shape = (int(thickness), int(images.shape[1]), int(images.shape[2] // oversampling))
        self._centre = volume_centre_index(self._shape[2]) * oversampling

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        return self._shape

    def read(self, box: Box) -> NDArray[np.float32]:
        """Back-project the voxels of ``box`` and return them as a new float32 array in C order."""
        (z, y, x), (depth, _, width) = box, self._shape
        region = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), np.float32)
        z_offset, x_offset = z.start - volume_centre_index(depth), x.start - volume_centre_index(width)

        def fill(start: int) -> None:
            stop = min(start + _SLAB_HEIGHT, y.stop)
            slab = np.zeros((region.shape[0], region.shape[2], stop - start), np.float32)
            _accumulate(self._columns, start, self._cosines, self._sines, z_offset, x_offset, self._centre, slab)
            slab *= self._scale
            region[:, start - y.start : stop - y.start] = slab.transpose(0, 2, 1)

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(fill, range(y.start, y.stop, _SLAB_HEIGHT)))
        return region


def available_threads() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _mean_increment(angles: NDArray[np.float64]) -> float:
    span = float(np.ptp(angles))
    return span / (len(angles) - 1) if span > 0 else np.pi / len(angles)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _accumulate(
    columns: NDArray[np.float32],
    first_row: int,
    cosines: NDArray[np.float64],
    sines: NDArray[np.float64],
    z_offset: int,
    x_offset: int,
    centre: int,
    slab: NDArray[np.float32],
) -> None:
    """Add every tilt to ``slab`` (z, x, y), whose first voxel lies at the offsets from the volume's centre.

    Cosines and sines are in samples of the images per voxel; ``centre`` is the sample on the tilt axis.
    """
    tilts, width, _ = columns.shape
    depth, columns_wanted, rows = slab.shape
    for z in range(depth):
        for x in range(columns_wanted):
            for t in range(tilts):
                u = (x + x_offset) * cosines[t] + (z + z_offset) * sines[t] + centre
                left = int(np.floor(u))
                if left < -1 or left >= width:
                    continue
                right_part = np.float32(u - left) if left + 1 < width else np.float32(0.0)
                left_part = np.float32(1.0 - (u - left)) if left >= 0 else np.float32(0.0)
                # Slices from zero: with an offset in the index the loop would not be vectorised.
                left_line = columns[t, max(left, 0), first_row : first_row + rows]
                right_line = columns[t, min(left + 1, width - 1), first_row : first_row + rows]
                line = slab[z, x]
                for y in range(rows):
                    line[y] += left_part * left_line[y] + right_part * right_line[y]
