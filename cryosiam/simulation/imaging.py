"""Image a specimen with an electron microscope and reconstruct it by weighted back-projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft

from cryosiam.simulation.ctf import ctf_2d, frequency_grid, interaction_constant
from cryosiam.simulation.structures import PROTEIN_CONTRAST_VOLT
from cryosiam.tomography.back_projection import back_project, r_weight
from cryosiam.tomography.projection import project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.config import SimulationConfig

MEAN_FREE_PATH_ANGSTROM: Final = 3100.0
"""Inelastic mean free path in ice at 300 kV: an energy filter removes what scatters."""

QUANTUM_EFFICIENCY: Final = 0.8
"""Share of electrons whose signal a counting detector keeps, at low resolution."""

_MARGIN_VOXELS: Final = 24


def tilt_series_of(
    potential: NDArray[np.float32], config: SimulationConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Take a tilt series.

    Weak-phase imaging, ``1 - 2 ctf * phase``, with the loss of signal by radiation damage (Grant and Grigorieff,
    eLife 2015), the loss of electrons in the thickness met, counting noise, and residual shifts.

    Parameters
    ----------
    potential
        ``(z, y, x)`` in units of bulk protein.
    config
        Microscope and tilts.
    rng
        Source of all randomness.

    Returns
    -------
    NDArray
        ``(n, y, u)`` images in the order of ``config.tilt_angles_deg``, in units of projected protein density in
        voxels, protein negative; wider than the volume, whose mirror image goes on beyond its faces.
    """
    tilts = config.tilt_angles_deg
    pixel = config.voxel_size_angstrom
    width = fft.next_fast_len(potential.shape[2] + 2 * _MARGIN_VOXELS, real=True)
    images = project(potential, tilts, image_width=width, mirror=True)
    shape = (images.shape[1], width)
    frequency = frequency_grid(shape, pixel)
    ky, kx = np.fft.fftfreq(shape[0], pixel)[:, None], np.fft.rfftfreq(width, pixel)[None, :]
    half_signal_dose = 0.245 * np.maximum(frequency, 1e-3) ** -1.665 + 2.81
    # What processing does to signal and noise alike: blur, and the sign of the nominal CTF.
    processing = np.exp(-2 * (np.pi * config.image_blur_voxels * pixel * frequency) ** 2)
    if config.phase_flip:
        processing *= np.where(_transfer(config, shape, config.defocus_um) < 0, -1, 1)
    for image, tilt, dose in zip(images, tilts, _dose_at_exposure(config), strict=True):
        defocus = config.defocus_um + config.defocus_spread_um * rng.standard_normal()
        shift_x, shift_y = config.alignment_error_angstrom * rng.standard_normal(2)
        seen = _transfer(config, shape, defocus) * np.exp(-dose / (2 * half_signal_dose))
        shifted = seen * np.exp(-2j * np.pi * (kx * shift_x + ky * shift_y))
        noise = fft.rfft2(rng.standard_normal(shape, np.float32)) * _noise_level(config, float(tilt))
        image[:] = fft.irfft2((noise - fft.rfft2(image) * shifted) * processing, s=shape)
    return images


def reconstruct(images: NDArray[np.float32], config: SimulationConfig) -> NDArray[np.float32]:
    """Reconstruct the volume of a simulated tilt series by r-weighted back-projection, ``(z, y, x)``."""
    depth, _, width = config.shape_zyx
    wide = back_project(r_weight(images), config.tilt_angles_deg, depth)
    first = wide.shape[2] // 2 - width // 2
    return np.ascontiguousarray(wide[:, :, first : first + width])


def _transfer(config: SimulationConfig, shape_yx: tuple[int, int], defocus_um: float) -> NDArray[np.float64]:
    return ctf_2d(
        shape_yx,
        config.voxel_size_angstrom,
        defocus_um=defocus_um,
        voltage_kv=config.voltage_kv,
        spherical_aberration_mm=config.spherical_aberration_mm,
        amplitude_contrast=config.amplitude_contrast,
    )


def _noise_level(config: SimulationConfig, tilt_deg: float) -> float:
    """Return the counting noise of a pixel, in units of the image of one voxel of protein."""
    pixel = config.voxel_size_angstrom
    path = config.thickness_angstrom / np.cos(np.deg2rad(tilt_deg))
    exposed = config.dose_per_tilt * config.dose_factor * pixel**2 * QUANTUM_EFFICIENCY
    electrons = exposed * np.exp(-path / MEAN_FREE_PATH_ANGSTROM)
    phase = interaction_constant(config.voltage_kv) * PROTEIN_CONTRAST_VOLT * pixel
    return float(1 / (2 * phase * config.contrast_factor * np.sqrt(electrons)))


def _dose_at_exposure(config: SimulationConfig) -> NDArray[np.float64]:
    """Return the dose that the specimen has had half-way through each image of a dose-symmetric scheme."""
    tilts = config.tilt_angles_deg
    dose = np.empty(len(tilts))
    dose[np.argsort(np.abs(tilts), kind="stable")] = (np.arange(len(tilts)) + 0.5) * config.dose_per_tilt
    return dose
