"""Take a tilt series of a specimen.

Each image is a projection seen by an electron microscope: weak-phase imaging with amplitude contrast (Williams and
Carter, Transmission Electron Microscopy, ch. 28) and radiation damage (Grant and Grigorieff, eLife 2015), the loss of
inelastically scattered electrons, a detector that counts, and what alignment leaves. Expected counts per pixel are

``n T (1 - 2 f IFFT(CTF damage MTF FFT(phase)))``

with ``n`` the electrons that arrive and are counted, ``T`` the transmission of the ice met, ``f`` the contrast factor
and ``phase`` the interaction constant times the projected potential. A phase plate leaves the unscattered beam alone,
so the mean of the phase takes no electrons away but by amplitude contrast. Projection takes the specimen for thin: the
curvature of the Ewald sphere and multiple scattering are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft

from cryosiam.simulation.microscope.ctf import CTF, frequency_grid, interaction_constant
from cryosiam.simulation.microscope.damage import signal_left
from cryosiam.simulation.microscope.detector import cycles_per_physical_pixel, mtf
from cryosiam.simulation.microscope.gradient import DefocusGradient, continued, delocalisation_pixels
from cryosiam.simulation.microscope.ice import IcePath, transmission
from cryosiam.simulation.microscope.jitter import AlignmentError, draw_alignment_errors
from cryosiam.simulation.microscope.noise import count, count_halves, counted_share, noise_filter
from cryosiam.simulation.microscope.series import SimulatedTiltSeries
from cryosiam.simulation.microscope.tilts import Exposures, exposures
from cryosiam.simulation.spec import fixed
from cryosiam.simulation.structures import PROTEIN_CONTRAST_VOLT
from cryosiam.tomography.back_projection import available_threads
from cryosiam.tomography.projection import project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import MicroscopeSpec, OpticsSpec, SimulationSpec
    from cryosiam.simulation.tomogram import Specimen

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""

PHASE_PLATE_CUT_ON_ANGSTROM: Final = 2000.0
"""Spacing of the cut-on: the spot on a Volta plate is some 50 to 100 nm wide, which is 140 to 280 nm at 300 kV."""


def take_tilt_series(
    specimen: Specimen,
    spec: SimulationSpec,
    rng: np.random.Generator,
    progress: Progress | None = None,
    threads: int | None = None,
) -> SimulatedTiltSeries:
    """Take a tilt series.

    Parameters
    ----------
    specimen
        What is imaged; along x and y it goes on beyond the volume by its mirror image.
    spec
        Recipe with every range drawn (:meth:`SimulationSpec.for_seed`).
    rng
        Source of all randomness: defoci, then alignment errors, then one generator for the noise of each image, all
        along ascending tilt.
    progress
        Called after each image.
    threads
        Images worked on at once; by default all cores. The result does not depend on it.

    Returns
    -------
    SimulatedTiltSeries
        Images as high as the volume, and wider, so that they hold the whole volume at every tilt.

    Raises
    ------
    InputError
        If the tilt scheme is impossible.
    ValueError
        If a range of the recipe was not drawn.
    """
    microscope, voxel = spec.microscope, specimen.voxel_size_angstrom
    plan = exposures(microscope.tilts, fixed(microscope.exposure.total_dose))
    count_tilts = len(plan.tilt_angles_deg)
    defocus = fixed(microscope.optics.defocus_um) + microscope.optics.defocus_spread_um * rng.standard_normal(
        count_tilts
    )
    errors = draw_alignment_errors(microscope.alignment, count_tilts, voxel, rng)
    generators = rng.spawn(count_tilts)
    camera = _Camera.for_specimen(specimen, microscope, plan, float(np.abs(defocus).max()))
    projections = camera.projections(specimen)
    want_halves = microscope.reconstruction.halves
    images = np.empty((count_tilts, *camera.shape_yx), np.float32)
    halves = (np.empty_like(images), np.empty_like(images)) if want_halves else None

    def take(tilt: int) -> None:
        expected = camera.expected(projections[tilt], tilt, float(defocus[tilt]), errors[tilt])
        parts = camera.counted(expected, want_halves, generators[tilt])
        if halves is not None:
            halves[0][tilt], halves[1][tilt] = parts
            np.add(halves[0][tilt], halves[1][tilt], out=images[tilt])
        else:
            images[tilt] = parts[0]

    with ThreadPoolExecutor(threads or available_threads()) as pool:
        for done, _ in enumerate(pool.map(take, range(count_tilts)), 1):
            if progress is not None:
                progress(done, count_tilts)
    return SimulatedTiltSeries(
        images=images,
        pixel_size_angstrom=voxel,
        tilt_angles_deg=plan.tilt_angles_deg,
        exposure_index=plan.exposure_index,
        dose_per_tilt=plan.dose_per_tilt,
        prior_dose=plan.prior_dose,
        defocus_um=defocus,
        astigmatism_um=fixed(microscope.optics.astigmatism_um),
        astigmatism_deg=fixed(microscope.optics.astigmatism_deg),
        phase_shift_deg=plate_shifts_deg(microscope.optics, plan.exposure_index),
        shifts_angstrom=voxel * np.array([one.shift_pixels for one in errors]),
        rotations_deg=np.array([one.rotation_deg for one in errors]),
        magnifications=np.array([one.magnification for one in errors]),
        halves=halves,
    )


def plate_shifts_deg(optics: OpticsSpec, exposure_index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the shift of the phase plate in each image, in degrees."""
    return fixed(optics.phase_shift_deg) + optics.phase_shift_per_tilt_deg * exposure_index.astype(np.float64)


def nominal_ctf(optics: OpticsSpec, defocus_um: float, phase_shift_deg: float) -> CTF:
    """Return the CTF of a recipe's optics at a defocus and a shift of the phase plate."""
    return CTF(
        defocus_um=defocus_um,
        astigmatism_um=fixed(optics.astigmatism_um),
        astigmatism_deg=fixed(optics.astigmatism_deg),
        voltage_kv=optics.voltage_kv,
        spherical_aberration_mm=optics.spherical_aberration_mm,
        amplitude_contrast=optics.amplitude_contrast,
        phase_shift_deg=phase_shift_deg,
        b_factor=fixed(optics.envelope_b_factor),
        cut_on_angstrom=PHASE_PLATE_CUT_ON_ANGSTROM,
    )


def defocus_gradient(optics: OpticsSpec, tilt_deg: float, width: int, pixel_size_angstrom: float) -> DefocusGradient:
    """Return the defocus gradient of a tilt, or none where the recipe has none."""
    if not optics.defocus_gradient:
        return DefocusGradient.flat(width)
    return DefocusGradient.of_tilt(tilt_deg, width, pixel_size_angstrom, optics.voltage_kv)


@dataclass(frozen=True)
class _Camera:
    """Everything the images of one series share."""

    microscope: MicroscopeSpec
    plan: Exposures
    pixel_size_angstrom: float
    shape_yx: tuple[int, int]
    wide_yx: tuple[int, int]
    ice: IcePath
    phase_shifts_deg: NDArray[np.float64]
    frequency: NDArray[np.float64]
    azimuth: NDArray[np.float64]
    signal_filter: NDArray[np.float32]
    noise_filter: NDArray[np.float32]

    @classmethod
    def for_specimen(
        cls, specimen: Specimen, microscope: MicroscopeSpec, plan: Exposures, defocus_um: float
    ) -> _Camera:
        voxel, optics, detector = specimen.voxel_size_angstrom, microscope.optics, microscope.detector
        depth, height, width = specimen.density.shape
        beyond = int(np.ceil(np.hypot(depth, width) - width)) + 4
        image_width = fft.next_fast_len(width + beyond, real=True)
        margin = delocalisation_pixels(defocus_um, voxel, optics.voltage_kv)
        wide = (fft.next_fast_len(height + 2 * margin, real=True), fft.next_fast_len(image_width + 2 * margin, True))
        frequency, azimuth = frequency_grid(wide, voxel)
        counted_at = frequency_grid((height, image_width), voxel)[0]
        physical = detector.pixel_size_angstrom or voxel
        blur = fixed(microscope.alignment.blur_voxels) * voxel
        return cls(
            microscope=microscope,
            plan=plan,
            pixel_size_angstrom=voxel,
            shape_yx=(height, image_width),
            wide_yx=wide,
            ice=IcePath(specimen.sample_mask, voxel, plan.tilt_angles_deg, image_width),
            phase_shifts_deg=plate_shifts_deg(optics, plan.exposure_index),
            frequency=frequency,
            azimuth=azimuth,
            signal_filter=(
                mtf(detector.kind, cycles_per_physical_pixel(frequency, physical)) * _gaussian(frequency, blur)
            ).astype(np.float32),
            noise_filter=noise_filter(detector, counted_at, voxel) * _gaussian(counted_at, blur),
        )

    def projections(self, specimen: Specimen) -> NDArray[np.float32]:
        """Return ``(n, y, u)`` projections, in units of protein times voxel, as wide as they are imaged."""
        depth, height, width = specimen.density.shape
        # In the projector's own order of axes, which spares a copy.
        total = np.empty((depth, width, height), np.float32).transpose(0, 2, 1)
        np.add(specimen.density, specimen.unlabelled, out=total)
        return project(total, self.plan.tilt_angles_deg, image_width=self.wide_yx[1], mirror=True)

    def expected(
        self, projection: NDArray[np.float32], tilt: int, defocus_um: float, error: AlignmentError
    ) -> NDArray[np.float32]:
        """Return the electrons expected to be counted in each pixel of an image."""
        optics, exposure = self.microscope.optics, self.microscope.exposure
        pixel, dose = self.pixel_size_angstrom, self.plan.dose_per_tilt
        seen = self.signal_filter * error.shift_filter(self.wide_yx)
        if exposure.radiation_damage:
            seen *= signal_left(self.frequency, self.plan.prior_dose[tilt], dose, optics.voltage_kv)
        gradient = defocus_gradient(optics, float(self.plan.tilt_angles_deg[tilt]), self.wide_yx[1], pixel)
        phase_shift = float(self.phase_shifts_deg[tilt])
        transfers = (
            nominal_ctf(optics, defocus_um + offset, phase_shift).at(self.frequency, self.azimuth).astype(np.float32)
            for offset in gradient.offsets_um
        )
        spectrum = gradient.imaged(continued(projection, self.wide_yx), transfers) * seen
        seen_wide = fft.irfft2(spectrum, s=self.wide_yx).astype(np.float32, copy=False)
        contrast = error.turn_and_crop(seen_wide, self.shape_yx)
        phase = interaction_constant(optics.voltage_kv) * PROTEIN_CONTRAST_VOLT * pixel
        contrast *= np.float32(-2 * fixed(optics.contrast_factor) * phase)
        contrast += 1
        arriving = dose * pixel**2 * counted_share(self.microscope.detector)
        passed = transmission(self.ice.image(tilt), exposure.inelastic_mean_free_path_nm)
        # Gold and ice crystals are no weak phase objects: where the formula falls below zero, nothing arrives.
        counts: NDArray[np.float32] = np.maximum(contrast, 0) * passed * np.float32(arriving)
        return counts

    def counted(
        self, expected: NDArray[np.float32], want_halves: bool, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], ...]:
        """Return the image, or its two halves."""
        if not self.microscope.detector.counting_noise:
            half = expected * np.float32(0.5)
            return (half, half) if want_halves else (expected,)
        if want_halves:
            return count_halves(expected, self.noise_filter, rng)
        return (count(expected, self.noise_filter, rng),)


def _gaussian(frequency: NDArray[np.float64], sigma_angstrom: float) -> NDArray[np.float32]:
    """Return the Fourier transform of a Gaussian blur."""
    return np.exp(-2 * (np.pi * sigma_angstrom * frequency) ** 2).astype(np.float32)
