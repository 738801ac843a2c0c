"""Contrast transfer function of the electron microscope.

Sign: ``ctf = sin(gamma)`` with ``gamma = pi lambda dz k^2 - pi/2 Cs lambda^3 k^4 + asin(A) + plate``, ``dz`` positive
for underfocus. Without a phase plate it starts at the amplitude contrast ``A`` and is positive up to the first zero; an
image is ``1 - 2 ctf * phase``, so protein is dark (Williams and Carter, Transmission Electron Microscopy, ch. 28; Rohou
and Grigorieff, J. Struct. Biol. 2015). See docs/simulation-conventions.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def electron_wavelength_angstrom(voltage_kv: float) -> float:
    """Return the relativistic wavelength in Å of electrons accelerated by ``voltage_kv`` kilovolts."""
    volts = voltage_kv * 1e3
    return float(12.2642596 / np.sqrt(volts * (1 + 0.978475598e-6 * volts)))


def interaction_constant(voltage_kv: float) -> float:
    """Return the phase shift in radians per volt and Å: ``2 pi m e lambda / h^2`` with the relativistic mass."""
    rest_energy_kev = 510.99895
    ratio = (rest_energy_kev + voltage_kv) / (2 * rest_energy_kev + voltage_kv)
    return float(2 * np.pi / electron_wavelength_angstrom(voltage_kv) / (voltage_kv * 1e3) * ratio)


def frequency_grid(
    shape_yx: tuple[int, int], pixel_size_angstrom: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return spatial frequencies and their directions on the grid of ``numpy.fft.rfft2``.

    Parameters
    ----------
    shape_yx
        Shape of the image.
    pixel_size_angstrom
        Edge of a pixel in Å.

    Returns
    -------
    frequency, azimuth
        ``(y, x // 2 + 1)`` each: spatial frequency in 1/Å, and its direction in radians from x to y.
    """
    ky = np.fft.fftfreq(shape_yx[0], pixel_size_angstrom)[:, None]
    kx = np.fft.rfftfreq(shape_yx[1], pixel_size_angstrom)[None, :]
    return np.hypot(ky, kx), np.arctan2(ky, kx)


@dataclass(frozen=True)
class CTF:
    """Contrast transfer function of one image.

    Parameters
    ----------
    defocus_um
        Mean underfocus in µm; positive is underfocus.
    astigmatism_um, astigmatism_deg
        Largest minus smallest underfocus, and direction of the largest, from x to y.
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        As named; amplitude contrast is a fraction.
    phase_shift_deg
        Of a phase plate; adds to the argument.
    b_factor
        Envelope ``exp(-B k^2 / 4)``, in Å².
    cut_on_angstrom
        Spacing above which the plate does nothing: it shifts by ``phase_shift_deg (1 - exp(-(k cut_on)^2))``. The
        unscattered beam, at frequency 0, passes as without a plate. 0 shifts all frequencies, as in a fit to rings.
    """

    defocus_um: float
    astigmatism_um: float = 0.0
    astigmatism_deg: float = 0.0
    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.07
    phase_shift_deg: float = 0.0
    b_factor: float = 0.0
    cut_on_angstrom: float = 0.0

    def at(self, frequency_per_angstrom: ArrayLike, azimuth_rad: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return the CTF at spatial frequencies.

        Parameters
        ----------
        frequency_per_angstrom
            Spatial frequencies in 1/Å, any shape.
        azimuth_rad
            Their directions from x to y, broadcast against the frequencies.

        Returns
        -------
        NDArray
            Values in [-1, 1].
        """
        k2 = np.square(np.asarray(frequency_per_angstrom, np.float64))
        defocus, cubic, constant = self._terms()
        spread = 0.5e4 * self.astigmatism_um
        along = defocus + spread * np.cos(2 * (np.asarray(azimuth_rad, np.float64) - np.deg2rad(self.astigmatism_deg)))
        wavelength = electron_wavelength_angstrom(self.voltage_kv)
        gamma = np.pi * wavelength * along * k2 - cubic * k2**2 + constant
        if self.cut_on_angstrom:
            gamma = gamma - np.deg2rad(self.phase_shift_deg) * np.exp(-k2 * self.cut_on_angstrom**2)
        transfer: NDArray[np.float64] = np.sin(gamma) * np.exp(-0.25 * self.b_factor * k2)
        return transfer

    def image(self, shape_yx: tuple[int, int], pixel_size_angstrom: float) -> NDArray[np.float32]:
        """Return the CTF of an image on the grid of ``numpy.fft.rfft2``: ``(y, x // 2 + 1)``.

        At the Nyquist frequency of an even axis the grid holds one of two equal frequencies; an astigmatic CTF takes
        the direction that ``numpy.fft`` names (negative along y, positive along x).
        """
        return self.at(*frequency_grid(shape_yx, pixel_size_angstrom)).astype(np.float32)

    def zeros(self, highest_frequency: float) -> NDArray[np.float64]:
        """Return the frequencies in 1/Å, up to ``highest_frequency``, where the CTF at the mean defocus is 0.

        Ascending; the zero at frequency 0 of a microscope without amplitude contrast is left out.
        """
        defocus, cubic, constant = self._terms()
        linear = np.pi * electron_wavelength_angstrom(self.voltage_kv) * defocus
        top = highest_frequency**2
        # gamma(q) = linear q - cubic q^2 + constant with q = k^2: at most one turning point.
        turning = linear / (2 * cubic) if cubic > 0 else 0.0
        ends = np.array([0.0, min(max(turning, 0.0), top), top])
        gammas = linear * ends - cubic * ends**2 + constant
        orders = np.arange(np.ceil(gammas.min() / np.pi), np.floor(gammas.max() / np.pi) + 1)
        offset = constant - orders * np.pi
        if cubic > 0:
            inside = linear**2 + 4 * cubic * offset
            root = np.sqrt(inside[inside >= 0])
            # The stable form of the smaller root; the larger one is past the turning point.
            squares = np.concatenate([(linear - root) / (2 * cubic), (linear + root) / (2 * cubic)])
        else:
            squares = -offset / linear if linear else np.empty(0)
        squares = np.unique(squares[(squares > 1e-12) & (squares <= top)])
        frequencies: NDArray[np.float64] = np.sqrt(squares)
        return frequencies

    def _terms(self) -> tuple[float, float, float]:
        """Return the mean defocus in Å, the factor of ``-k^4`` and the constant part of gamma."""
        wavelength = electron_wavelength_angstrom(self.voltage_kv)
        aberration = 0.5 * np.pi * self.spherical_aberration_mm * 1e7 * wavelength**3
        constant = np.arcsin(self.amplitude_contrast) + np.deg2rad(self.phase_shift_deg)
        return self.defocus_um * 1e4, float(aberration), float(constant)
