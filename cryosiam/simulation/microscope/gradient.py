"""Defocus across the image of a tilted specimen.

A point of the specimen's mid-plane seen at ``u`` pixels from the tilt axis lies ``u tan(t)`` pixels lower along the
beam: in the projection geometry ``u = x cos(t) + z sin(t)`` its height is ``-x sin(t) + z cos(t)``, and electrons come
from above (from +z at tilt 0). Underfocus grows downwards: a weaker lens is focused on what is nearer to the gun. So
at positive tilt the underfocus grows towards positive u,

``underfocus(u) = mean + u pixel tan(t)``.

Height differences inside the slab are left out, as are those of a slab that leans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft

from cryosiam.geometry import volume_centre_index
from cryosiam.simulation.microscope.ctf import electron_wavelength_angstrom

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_PHASE_STEP_RAD: Final = 0.6
"""Largest difference of the CTF's argument, at Nyquist, between defoci that are interpolated.

Half-way between two such defoci the mean of both CTFs is the true one times ``cos(0.3)``: within 5 % (0.05 rad)."""

_FEWEST_MARGIN_PIXELS: Final = 16
_MOST_MARGIN_PIXELS: Final = 96


@dataclass(frozen=True)
class DefocusGradient:
    """A few defoci and the share each has in every image column; the shares are hat functions and add up to 1.

    Parameters
    ----------
    offsets_um
        ``(m,)`` ascending, relative to the underfocus at the tilt axis.
    shares
        ``(m, u)`` float32.
    """

    offsets_um: NDArray[np.float64]
    shares: NDArray[np.float32]

    @classmethod
    def of_tilt(cls, tilt_deg: float, width: int, pixel_size_angstrom: float, voltage_kv: float) -> DefocusGradient:
        """Return the gradient of an image ``width`` pixels wide."""
        u = (np.arange(width) - volume_centre_index(width)) * pixel_size_angstrom
        offset_angstrom = u * np.tan(np.deg2rad(tilt_deg))
        nyquist = 0.5 / pixel_size_angstrom
        phases = np.pi * electron_wavelength_angstrom(voltage_kv) * nyquist**2 * np.ptp(offset_angstrom)
        count = 1 + int(np.ceil(phases / _PHASE_STEP_RAD - 1e-9))
        if count == 1:
            return cls.flat(width)
        nodes = np.linspace(offset_angstrom.min(), offset_angstrom.max(), count)
        place = (offset_angstrom - nodes[0]) / (nodes[1] - nodes[0])
        shares = np.maximum(1 - np.abs(place - np.arange(count)[:, None]), 0)
        return cls(nodes * 1e-4, shares.astype(np.float32))

    @classmethod
    def flat(cls, width: int) -> DefocusGradient:
        """Return the same defocus everywhere."""
        return cls(np.zeros(1), np.ones((1, width), np.float32))

    def imaged(
        self, exit_wave: NDArray[np.float32], transfers: Iterable[NDArray[np.floating]]
    ) -> NDArray[np.complex64]:
        """Return the ``rfft2`` of an image to which each column of the specimen contributes with its own defocus.

        Parameters
        ----------
        exit_wave
            ``(y, u)``.
        transfers
            Transfer function of each of the ``offsets_um``.
        """
        total = np.zeros((exit_wave.shape[0], exit_wave.shape[1] // 2 + 1), np.complex64)
        for share, transfer in zip(self.shares, transfers, strict=True):
            total += fft.rfft2(exit_wave * share) * transfer
        return total

    def corrected(self, image: NDArray[np.float32], filters: Iterable[NDArray[np.floating]]) -> NDArray[np.float32]:
        """Return an image whose columns have each been filtered for their own defocus; the adjoint of :meth:`imaged`.

        Parameters
        ----------
        image
            ``(y, u)``.
        filters
            Filter of each of the ``offsets_um``.
        """
        spectrum = fft.rfft2(image)
        total = np.zeros(image.shape, np.float32)
        for share, one in zip(self.shares, filters, strict=True):
            total += share * fft.irfft2(spectrum * one, s=(image.shape[0], image.shape[1]))
        return total


def delocalisation_pixels(defocus_um: float, pixel_size_angstrom: float, voltage_kv: float) -> int:
    """Return how far a defocused image carries its finest detail, within bounds.

    So many pixels are to be added on every side before an image is filtered by a Fourier transform, which wraps.
    """
    reach = electron_wavelength_angstrom(voltage_kv) * abs(defocus_um) * 1e4 * 0.5 / pixel_size_angstrom**2
    return int(np.clip(np.ceil(reach), _FEWEST_MARGIN_PIXELS, _MOST_MARGIN_PIXELS))


def continued(image: NDArray[np.float32], shape_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Continue an image by its mirror image to a larger shape with the same centre pixel."""
    befores = [
        volume_centre_index(wide) - volume_centre_index(size) for wide, size in zip(shape_yx, image.shape, strict=True)
    ]
    pads = [(before, wide - size - before) for before, wide, size in zip(befores, shape_yx, image.shape, strict=True)]
    return np.pad(image, pads, mode="symmetric")


def cropped(image: NDArray[np.float32], shape_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Return the middle of an image, with the same centre pixel."""
    first_y, first_x = (
        volume_centre_index(wide) - volume_centre_index(size) for wide, size in zip(image.shape, shape_yx, strict=True)
    )
    return np.ascontiguousarray(image[first_y : first_y + shape_yx[0], first_x : first_x + shape_yx[1]])
