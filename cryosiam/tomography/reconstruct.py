"""Tilt series to tomogram by weighted back-projection."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import Contrast, Hand, MissingWedge, Tomogram
from cryosiam.errors import InputError
from cryosiam.tomography.alignment import align_image, aligned_shape
from cryosiam.tomography.back_projection import (
    ROLL_OFF_SIGMA,
    ROLL_OFF_START,
    BackProjectedVolume,
    available_threads,
    r_weight,
)
from cryosiam.tomography.hot_pixels import remove_hot_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain import TiltSeries

SIZE_TOLERANCE: Final = 0.01
"""Share by which a voxel may be smaller than a pixel and still count as equal to it."""

Progress = Callable[[int, int], None]
"""Called with the number of tilt images done and of all."""


@dataclass(frozen=True)
class ReconstructionOptions:
    """How a tilt series is reconstructed.

    Parameters
    ----------
    voxel_size_angstrom
        Edge of the voxel; not smaller than the pixel of the tilt images.
    thickness
        Voxels along z.
    tomogram_type
        Name of the reconstruction.
    roll_off_start, roll_off_sigma
        Of the filter, in cycles per pixel; see :func:`cryosiam.tomography.back_projection.r_weight`.
    invert_angles
        Sign of the tilt angles: negated if true, as written if false, and None to do as the alignment says.
    threads
        Threads to use; default all cores this process may use.
    """

    voxel_size_angstrom: float
    thickness: int
    tomogram_type: str = "wbp"
    roll_off_start: float = ROLL_OFF_START
    roll_off_sigma: float = ROLL_OFF_SIGMA
    invert_angles: bool | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.voxel_size_angstrom) and self.voxel_size_angstrom > 0):
            raise InputError(f"the voxel size must be a positive number of Å, not {self.voxel_size_angstrom:g}")
        if self.thickness < 1:
            raise InputError(f"the thickness must be at least one voxel, not {self.thickness}")
        finite = np.isfinite([self.roll_off_start, self.roll_off_sigma]).all()
        if not finite or self.roll_off_start <= 0 or self.roll_off_sigma < 0:
            raise InputError("the roll-off must start above 0 and have a width of 0 or more cycles per pixel")


@dataclass(frozen=True)
class WeightedTiltSeries:
    """Aligned and weighted images at the voxel size, ready for back-projection.

    Parameters
    ----------
    images
        ``(n, y, x)`` float32, tilt axis along y through ``size // 2``.
    series
        Where they come from.
    options
        How they were made.
    """

    images: NDArray[np.float32]
    series: TiltSeries
    options: ReconstructionOptions

    @property
    def hand(self) -> Hand:
        """Sign of the tilt angles that is used."""
        inverted = self.options.invert_angles
        if inverted is None:
            return self.series.alignment.hand
        return Hand.INVERTED if inverted else Hand.AS_GIVEN

    def tomogram(self, tilts: NDArray[np.intp] | None = None, suffix: str = "") -> Tomogram:
        """Return the tomogram of all tilts, or of the ``tilts`` given by index; voxels are made when read.

        Parameters
        ----------
        tilts
            Indices of the images to use; all by default.
        suffix
            Added to the tomogram type, to tell half reconstructions apart.
        """
        chosen = slice(None) if tilts is None else tilts
        sign = -1.0 if self.hand is Hand.INVERTED else 1.0
        angles_deg = sign * self.series.alignment.tilt_angles_deg[chosen]
        defocus_um = self.series.defocus_um
        return Tomogram(
            run=self.series.run,
            volume=BackProjectedVolume(self.images[chosen], angles_deg, self.options.thickness, self.options.threads),
            voxel_size_angstrom=self.options.voxel_size_angstrom,
            tomogram_type=self.options.tomogram_type + suffix,
            source=f"weighted back-projection of {len(angles_deg)} tilt images",
            contrast=Contrast.DARK,
            wedge=MissingWedge(float(angles_deg.min()), float(angles_deg.max())),
            defocus_um=None if defocus_um is None else float(np.mean(defocus_um)),
            hand=self.hand,
        )

    def halves(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the indices of every second tilt in order of angle: even-numbered ones, odd-numbered ones."""
        order = np.argsort(self.series.alignment.tilt_angles_deg, kind="stable")
        return np.sort(order[::2]), np.sort(order[1::2])


def weight_tilt_series(
    series: TiltSeries, options: ReconstructionOptions, progress: Progress | None = None
) -> WeightedTiltSeries:
    """Clean, normalise, align, bin and weight the images of a tilt series.

    Each image loses its hot pixels and is brought to mean 0 and standard deviation 1, then it is binned and
    aligned in one step and weighted. Held in memory are the results (4 bytes per pixel at the voxel size) and one
    recorded image per thread.

    Parameters
    ----------
    series
        Recorded images, protein darker than solvent.
    options
        Voxel size, filter and so on.
    progress
        Told of each image done.

    Returns
    -------
    WeightedTiltSeries
        Images ready for back-projection.

    Raises
    ------
    InputError
        If the voxel is smaller than the pixel, or an image has one grey value only.
    """
    scale = options.voxel_size_angstrom / series.pixel_size_angstrom
    if scale < 1 - SIZE_TOLERANCE:
        raise InputError(
            f"the voxel size of {options.voxel_size_angstrom:g} Å is smaller than the pixel size of "
            f"{series.pixel_size_angstrom:g} Å of the tilt images; ask for {series.pixel_size_angstrom:g} Å or more"
        )
    count, *image_shape = series.images.shape
    shape = aligned_shape((image_shape[0], image_shape[1]), series.alignment.matrices, max(scale, 1.0))
    images = np.empty((count, *shape), np.float32)

    def prepare(tilt: int) -> None:
        aligned = align_image(
            _normalised(series, tilt),
            series.alignment.matrices[tilt],
            series.alignment.shifts_angstrom[tilt] / series.pixel_size_angstrom,
            shape,
            scale,
        )
        images[tilt] = r_weight(aligned[None], options.roll_off_start, options.roll_off_sigma)[0]

    with ThreadPoolExecutor(options.threads or available_threads()) as pool:
        for done, _ in enumerate(pool.map(prepare, range(count)), start=1):
            if progress is not None:
                progress(done, count)
    return WeightedTiltSeries(images, series, options)


def _normalised(series: TiltSeries, tilt: int) -> NDArray[np.float32]:
    image = remove_hot_pixels(series.images[tilt].astype(np.float32))
    mean, deviation = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    if deviation == 0:
        raise InputError(
            f"tilt image {tilt + 1} of run {series.run} has the same grey value everywhere; leave it out of the stack"
        )
    return (image - np.float32(mean)) / np.float32(deviation)
