"""Contrast transfer function of the electron microscope.

Sign: ``ctf = sin(gamma)``, ``gamma = pi lambda dz k^2 - pi/2 Cs lambda^3 k^4 + asin(A)`` with ``dz`` positive for
underfocus. It starts at the amplitude contrast ``A`` and is positive up to the first zero; an image is
``1 - 2 ctf * phase``, so protein is dark (Williams and Carter, Transmission Electron Microscopy, ch. 28).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def electron_wavelength_angstrom(voltage_kv: float) -> float:
    """Return the relativistic wavelength in Å of electrons accelerated by ``voltage_kv`` kilovolts."""
    volts = voltage_kv * 1e3
    return float(12.2642596 / np.sqrt(volts * (1 + 0.978475598e-6 * volts)))


def interaction_constant(voltage_kv: float) -> float:
    """Return the phase shift in radians per volt and Å: ``2 pi m e lambda / h^2`` with the relativistic mass."""
    rest_energy_kev = 510.99895
    ratio = (rest_energy_kev + voltage_kv) / (2 * rest_energy_kev + voltage_kv)
    return float(2 * np.pi / electron_wavelength_angstrom(voltage_kv) / (voltage_kv * 1e3) * ratio)


def ctf_1d(
    frequencies_per_angstrom: NDArray[np.floating],
    *,
    defocus_um: float,
    voltage_kv: float = 300.0,
    spherical_aberration_mm: float = 2.7,
    amplitude_contrast: float = 0.07,
) -> NDArray[np.float64]:
    """Return the CTF at spatial frequencies.

    Parameters
    ----------
    frequencies_per_angstrom
        Spatial frequencies in 1/Å, any shape.
    defocus_um
        Underfocus in µm, positive.
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        Microscope; ``amplitude_contrast`` is a fraction.

    Returns
    -------
    NDArray
        Values in [-1, 1], same shape.
    """
    wavelength = electron_wavelength_angstrom(voltage_kv)
    k2 = np.asarray(frequencies_per_angstrom, np.float64) ** 2
    defocus, aberration = defocus_um * 1e4, spherical_aberration_mm * 1e7
    gamma = np.pi * wavelength * k2 * (defocus - 0.5 * aberration * wavelength**2 * k2)
    transfer: NDArray[np.float64] = np.sin(gamma + np.arcsin(amplitude_contrast))
    return transfer


def frequency_grid(shape_yx: tuple[int, int], pixel_size_angstrom: float) -> NDArray[np.float64]:
    """Return spatial frequencies in 1/Å on the grid of ``numpy.fft.rfft2``: ``(y, x // 2 + 1)``."""
    ky = np.fft.fftfreq(shape_yx[0], pixel_size_angstrom)
    kx = np.fft.rfftfreq(shape_yx[1], pixel_size_angstrom)
    frequency: NDArray[np.float64] = np.hypot(ky[:, None], kx[None, :])
    return frequency


def ctf_2d(
    shape_yx: tuple[int, int],
    pixel_size_angstrom: float,
    *,
    defocus_um: float,
    voltage_kv: float = 300.0,
    spherical_aberration_mm: float = 2.7,
    amplitude_contrast: float = 0.07,
) -> NDArray[np.float64]:
    """Return the CTF of an image on the grid of ``numpy.fft.rfft2``; parameters as in :func:`ctf_1d`."""
    return ctf_1d(
        frequency_grid(shape_yx, pixel_size_angstrom),
        defocus_um=defocus_um,
        voltage_kv=voltage_kv,
        spherical_aberration_mm=spherical_aberration_mm,
        amplitude_contrast=amplitude_contrast,
    )
