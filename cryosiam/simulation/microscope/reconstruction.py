"""Reconstruct simulated tilt series by weighted back-projection, with CTF correction per tilt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from scipy import fft

from cryosiam.geometry import volume_centre_index
from cryosiam.simulation.microscope.ctf import frequency_grid
from cryosiam.simulation.microscope.damage import dose_weights
from cryosiam.simulation.microscope.gradient import continued, cropped, delocalisation_pixels
from cryosiam.simulation.microscope.imaging import defocus_gradient, nominal_ctf
from cryosiam.simulation.spec import fixed
from cryosiam.tomography.back_projection import BackProjectedVolume, available_threads, r_weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.microscope.series import SimulatedTiltSeries
    from cryosiam.simulation.spec import SimulationSpec

Progress = Callable[[int, int], None]
"""Told how many volumes are done, and of how many."""

Correction = Literal["none", "phase-flip", "wiener"]

_SNR_AT_ZERO: Final = 1000.0
_SNR_FALL_ANGSTROM: Final = 150.0
"""Of the Wiener filter: one image's ratio of signal (before the CTF) to noise is ``SNR_AT_ZERO exp(-k SNR_FALL)``.

About what crowded specimens have here at 3 electrons per Å² (frequencies of 1/150 to 1/30 Å)."""

_RADIAL_SAMPLES: Final = 512

BACK_PROJECTION_OVERSAMPLING: Final = 4
"""Samples per pixel of the weighted images: with one, interpolation would leave traces in the missing wedge."""


@dataclass(frozen=True)
class Reconstructions:
    """Volumes reconstructed from one tilt series; all ``(z, y, x)`` float32, protein dark.

    Parameters
    ----------
    noisy
        Mean 0 and variance 1.
    corrected
        CTF-corrected by a Wiener filter per tilt; mean 0 and variance 1. None if not asked for.
    halves
        From the even and the odd frames, scaled and shifted as ``noisy`` is, so that their mean is ``noisy``: they
        hold the signal as it is there, and noise with twice the variance. So a network trained to map one half to the
        other sees ``noisy`` on its own scale, and half of their difference has the noise of ``noisy``. None if not
        asked for.
    """

    noisy: NDArray[np.float32]
    corrected: NDArray[np.float32] | None = None
    halves: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


def reconstruct_volumes(
    series: SimulatedTiltSeries,
    spec: SimulationSpec,
    shape_zyx: tuple[int, int, int],
    progress: Progress | None = None,
    threads: int | None = None,
) -> Reconstructions:
    """Reconstruct the volumes that a recipe asks for.

    Each image is divided by a plane fitted to it, which leaves the contrast. CTF correction takes the recipe's mean
    defocus, as a fit to the whole series would, with its gradient across the tilted image, and not the true defocus
    of each tilt; alignment errors stay in.

    Parameters
    ----------
    series
        Tilt series.
    spec
        Recipe with every range drawn.
    shape_zyx
        Volume in voxels; y as in the images, x not wider than they are.
    progress
        Called after each volume.
    threads
        Threads to use; by default all cores. The result does not depend on it.

    Returns
    -------
    Reconstructions
        Volumes.

    Raises
    ------
    ValueError
        If the images do not cover the volume.
    """
    if shape_zyx[1] != series.images.shape[1] or shape_zyx[2] > series.images.shape[2]:
        raise ValueError(f"images of {series.images.shape[1:]} pixels do not cover a volume of {shape_zyx} voxels")
    wanted = spec.microscope.reconstruction
    with_halves = wanted.halves and series.halves is not None
    total = 1 + wanted.corrected_volume + with_halves
    threads = threads or available_threads()
    prepared = _Preparation.of_series(series, spec, threads)
    done = 0

    def reconstruct(images: NDArray[np.float32], correction: Correction) -> NDArray[np.float32]:
        nonlocal done
        weighted = prepared.weighted(images, correction)
        volume = _back_projected(weighted, series.tilt_angles_deg, shape_zyx, threads)
        done += 1
        if progress is not None:
            progress(done, total)
        return volume

    noisy = reconstruct(series.images, wanted.ctf_correction)
    mean, deviation = _mean_and_deviation(noisy)
    _standardise(noisy, mean, deviation)
    halves = None
    if with_halves and series.halves is not None:
        even = reconstruct(series.halves[0] * np.float32(2), wanted.ctf_correction)
        _standardise(even, mean, deviation)
        # Back-projection is linear: the odd half is what the whole has beside the even one.
        odd = noisy * np.float32(2)
        odd -= even
        halves = even, odd
    corrected = None
    if wanted.corrected_volume:
        corrected = reconstruct(series.images, "wiener")
        _standardise(corrected, *_mean_and_deviation(corrected))
    return Reconstructions(noisy, corrected, halves)


@dataclass(frozen=True)
class _Preparation:
    """What turns tilt images into contrast that is ready for back-projection."""

    series: SimulatedTiltSeries
    spec: SimulationSpec
    threads: int
    backgrounds: NDArray[np.float64]
    wide_yx: tuple[int, int]
    frequency: NDArray[np.float64]
    azimuth: NDArray[np.float64]
    dose_table: tuple[NDArray[np.float64], NDArray[np.float64]] | None

    @classmethod
    def of_series(cls, series: SimulatedTiltSeries, spec: SimulationSpec, threads: int) -> _Preparation:
        optics, pixel = spec.microscope.optics, series.pixel_size_angstrom
        margin = delocalisation_pixels(fixed(optics.defocus_um), pixel, optics.voltage_kv)
        height, width = (fft.next_fast_len(size + 2 * margin, real=True) for size in series.images.shape[1:])
        frequency, azimuth = frequency_grid((height, width), pixel)
        table = None
        if spec.microscope.reconstruction.dose_weighting:
            radial = np.linspace(0, frequency.max(), _RADIAL_SAMPLES)
            table = radial, dose_weights(radial, series.prior_dose, series.dose_per_tilt, optics.voltage_kv)
        backgrounds = np.array([_fitted_plane(image) for image in series.images])
        return cls(series, spec, threads, backgrounds, (height, width), frequency, azimuth, table)

    def weighted(self, images: NDArray[np.float32], correction: Correction) -> NDArray[np.float32]:
        """Return contrast, corrected and weighted for back-projection; in the background of the series' images."""
        width = BACK_PROJECTION_OVERSAMPLING * images.shape[2]
        weighted = np.empty((*images.shape[:2], width), np.float32)

        def prepare(tilt: int) -> None:
            image = images[tilt] / _plane(self.backgrounds[tilt], images[tilt].shape) - np.float32(1)
            if correction != "none" or self.dose_table is not None:
                image = self._filtered(image, tilt, correction)
            weighted[tilt] = r_weight(image[None], oversampling=BACK_PROJECTION_OVERSAMPLING)[0]

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(prepare, range(len(images))))
        return weighted

    def _filtered(self, image: NDArray[np.float32], tilt: int, correction: Correction) -> NDArray[np.float32]:
        series, optics = self.series, self.spec.microscope.optics
        weight = np.float32(1)
        if self.dose_table is not None:
            weight = np.interp(self.frequency, self.dose_table[0], self.dose_table[1][tilt]).astype(np.float32)
        gradient = defocus_gradient(
            optics, float(series.tilt_angles_deg[tilt]), self.wide_yx[1], series.pixel_size_angstrom
        )
        phase_shift = float(series.phase_shift_deg[tilt])
        filters = (
            weight
            * _correction_filter(
                nominal_ctf(optics, fixed(optics.defocus_um) + offset, phase_shift).at(self.frequency, self.azimuth),
                self.frequency,
                correction,
            )
            for offset in gradient.offsets_um
        )
        return cropped(gradient.corrected(continued(image, self.wide_yx), filters), (image.shape[0], image.shape[1]))


def _correction_filter(
    transfer: NDArray[np.float64], frequency: NDArray[np.float64], correction: Correction
) -> NDArray[np.float32]:
    if correction == "none":
        return np.ones(transfer.shape, np.float32)
    if correction == "phase-flip":
        return np.where(transfer < 0, -1, 1).astype(np.float32)
    wiener: NDArray[np.float64] = transfer / (transfer**2 + noise_to_signal(frequency))
    return wiener.astype(np.float32)


def noise_to_signal(frequency_per_angstrom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratio of noise to signal power that the Wiener filter assumes, at frequencies in 1/Å."""
    ratio: NDArray[np.float64] = np.exp(frequency_per_angstrom * _SNR_FALL_ANGSTROM) / _SNR_AT_ZERO
    return ratio


def _fitted_plane(image: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return mean and slopes along y and u of the plane nearest to an image."""
    y, u = (np.arange(size) - (size - 1) / 2 for size in image.shape)
    rows, columns = image.mean(axis=1, dtype=np.float64), image.mean(axis=0, dtype=np.float64)
    mean = float(rows.mean())
    return mean, float(rows @ y / (y @ y)), float(columns @ u / (u @ u))


def _plane(plane: NDArray[np.float64], shape_yx: tuple[int, ...]) -> NDArray[np.float32]:
    mean, slope_y, slope_u = plane
    y, u = (np.arange(size) - (size - 1) / 2 for size in shape_yx)
    # A tenth of the mean at least, and something where not one electron was counted.
    values: NDArray[np.float64] = np.maximum(mean + slope_y * y[:, None] + slope_u * u, max(0.1 * mean, 1e-6))
    return values.astype(np.float32)


def _back_projected(
    weighted: NDArray[np.float32],
    tilt_angles_deg: NDArray[np.float64],
    shape_zyx: tuple[int, int, int],
    threads: int,
) -> NDArray[np.float32]:
    depth, height, width = shape_zyx
    volume = BackProjectedVolume(weighted, tilt_angles_deg, depth, threads, BACK_PROJECTION_OVERSAMPLING)
    first = volume_centre_index(volume.shape[2]) - volume_centre_index(width)
    return volume.read((slice(0, depth), slice(0, height), slice(first, first + width)))


def _mean_and_deviation(volume: NDArray[np.float32]) -> tuple[float, float]:
    means = [float(plane.mean(dtype=np.float64)) for plane in volume]
    mean = float(np.mean(means))
    squares = [float(np.mean((plane - np.float32(mean)) ** 2, dtype=np.float64)) for plane in volume]
    return mean, float(np.sqrt(np.mean(squares)))


def _standardise(volume: NDArray[np.float32], mean: float, deviation: float) -> None:
    """Shift and scale in place; an empty volume stays empty."""
    volume -= np.float32(mean)
    if deviation > 0:
        volume /= np.float32(deviation)
