"""The fast path: a noisy tomogram straight from the specimen, by the optics of the tilt series in Fourier space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
from torch import Tensor

from cryosiam.simulation.fast.planes import TiltPlanes
from cryosiam.simulation.fast.transfer import SeriesTransfer, TiltState
from cryosiam.simulation.microscope.reconstruction import Reconstructions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SimulationSpec

_BLOCK: Final = 16
"""Frequencies along x that are worked on at once. Noise is drawn block by block, so it is part of the result."""

_LEAST_INTENSITY: Final = 0.1

Correction = Literal["none", "phase-flip", "wiener"]


class FastMicroscope:
    """Microscope and reconstruction of a recipe, for volumes of one shape.

    The same optics as the exact path: per-tilt CTF, damage, envelope, detector, counting noise and alignment, then
    weighted back-projection. Each acts on the tilts' central planes. Differences from the exact path: counting noise
    is Gaussian and has the mean slab's level at each tilt; the defocus gradient is left out; image rotation and
    magnification errors act as the mean blur over the field.

    Parameters
    ----------
    spec
        Recipe whose ranges have been drawn.
    shape_zyx
        Shape of the volumes; that of the recipe by default.
    device
        Torch device. Random numbers are drawn by numpy, so all devices give the same volume up to rounding.
    """

    def __init__(
        self, spec: SimulationSpec, shape_zyx: tuple[int, int, int] | None = None, device: str = "cpu"
    ) -> None:
        self.spec = spec
        self.planes = TiltPlanes(shape_zyx or spec.shape_zyx, TiltState.nominal(spec).tilt_angles_deg, device)

    def image(
        self, density: NDArray[np.float32], rng: np.random.Generator, state: TiltState | None = None
    ) -> Reconstructions:
        """Return the reconstructions that the recipe asks for, scaled as those of the exact path.

        Parameters
        ----------
        density
            ``(z, y, x)`` in units of bulk protein.
        rng
            Source of all randomness.
        state
            What differs from tilt to tilt; drawn by default.
        """
        wanted = self.spec.microscope.reconstruction
        transfer = self.transfer(state or TiltState.drawn(self.spec, rng))
        whole = self.planes.project(density)
        background = self._background(whole, transfer)
        even = torch.empty_like(whole) if wanted.halves else None
        for block in self._blocks():
            signal = whole[block] * transfer.signal(block) / background
            level = transfer.noise(block) / background.sqrt()
            if even is None:
                whole[block] = signal + self._white_noise(block, rng) * level
            else:
                # Each half has half of the electrons, and together they have all.
                first, second = (self._white_noise(block, rng) * level * 2**0.5 for _ in range(2))
                even[block] = signal + first
                whole[block] = signal + (first + second) / 2
        noisy = self._reconstructed(whole, transfer, None)
        mean, deviation = _mean_and_deviation(noisy)
        _standardise(noisy, mean, deviation)
        corrected = halves = None
        if wanted.corrected_volume:
            corrected = self._reconstructed(whole, transfer, "wiener")
            _standardise(corrected, *_mean_and_deviation(corrected))
        del whole
        if even is not None:
            half = self._reconstructed(even, transfer, None)
            _standardise(half, mean, deviation)
            other = noisy * np.float32(2)
            other -= half
            halves = half, other
        return Reconstructions(noisy, corrected, halves)

    def tomogram(
        self, density: NDArray[np.float32], rng: np.random.Generator, state: TiltState, planes: range
    ) -> NDArray[np.float32]:
        """Return z planes of the main volume, signal and noise, in units of image contrast.

        Parameters
        ----------
        density
            ``(z, y, x)`` in units of bulk protein.
        rng
            Source of the noise.
        state
            What differs from tilt to tilt.
        planes
            z planes to compute.
        """
        transfer = self.transfer(state)
        images = self.planes.project(density)
        background = self._background(images, transfer)
        for block in self._blocks():
            images[block] *= transfer.signal(block) / background
            images[block] += self._white_noise(block, rng) * (transfer.noise(block) / background.sqrt())
        return self._reconstructed(images, transfer, None, planes)

    def signal(
        self, density: NDArray[np.float32], state: TiltState, correction: Correction | None = None
    ) -> NDArray[np.float32]:
        """Return the noise-free reconstruction ``(z, y, x)`` in units of image contrast; see :meth:`image`.

        Parameters
        ----------
        density
            ``(z, y, x)`` in units of bulk protein.
        state
            What differs from tilt to tilt.
        correction
            Of the CTF; by default that of the recipe's main volume.
        """
        transfer = self.transfer(state)
        images = self.planes.project(density)
        background = self._background(images, transfer)
        for block in self._blocks():
            images[block] *= transfer.signal(block) / background
        return self._reconstructed(images, transfer, correction)

    def noise(
        self, rng: np.random.Generator, state: TiltState, correction: Correction | None = None
    ) -> NDArray[np.float32]:
        """Return the reconstruction of nothing but counting noise, on the scale of :meth:`signal`."""
        transfer = self.transfer(state)
        images = torch.empty(self.planes.spectra_shape, dtype=torch.complex64, device=self.planes.device)
        for block in self._blocks():
            images[block] = self._white_noise(block, rng) * transfer.noise(block)
        return self._reconstructed(images, transfer, correction)

    def transfer(self, state: TiltState) -> SeriesTransfer:
        """Return the factors of one tilt series."""
        return SeriesTransfer(self.spec, self.planes, state)

    def _background(self, projected: Tensor, transfer: SeriesTransfer) -> Tensor:
        """Return the mean intensity of each tilt image, 1 for an empty one, ``(tilt, 1)``: images are divided by it."""
        pixels = self.planes.length * self.planes.shape[1]
        contrast = projected[0, :, 0] * transfer.signal(slice(0, 1))[0, :, 0] / pixels
        return (1 + contrast.real).clamp(min=_LEAST_INTENSITY)[:, None]

    def _reconstructed(
        self, images: Tensor, transfer: SeriesTransfer, correction: Correction | None, planes: range | None = None
    ) -> NDArray[np.float32]:
        kind = correction or self.spec.microscope.reconstruction.ctf_correction
        weighted = torch.empty_like(images)
        for block in self._blocks():
            factor = transfer.weighting(block)
            if kind == "phase-flip":
                factor *= transfer.phase_flip(block)
            elif kind == "wiener":
                factor *= transfer.wiener(block)
            weighted[block] = images[block] * factor
        return self.planes.back_project(weighted, planes)

    def _blocks(self) -> list[slice]:
        return [slice(start, start + _BLOCK) for start in range(0, self.planes.spectra_shape[0], _BLOCK)]

    def _white_noise(self, block: slice, rng: np.random.Generator) -> Tensor:
        """Return spectra of white noise with unit variance per pixel, ``(kx, tilt, ky)`` complex."""
        columns = self.planes.kx[block]
        _, tilts, rows = self.planes.spectra_shape
        drawn = rng.standard_normal((len(columns), tilts, rows, 2), np.float32)
        power = np.full(len(columns), self.planes.length * rows / 2)
        # Of the columns without a conjugate partner only the symmetric half gets into real images.
        power[(columns == 0) | (columns == 0.5)] *= 2
        drawn *= np.sqrt(power).astype(np.float32)[:, None, None, None]
        return torch.view_as_complex(torch.from_numpy(drawn).to(self.planes.device))


def _mean_and_deviation(volume: NDArray[np.float32]) -> tuple[float, float]:
    # Plane by plane in float64: the sum of 10^8 float32 numbers loses digits.
    mean = float(np.mean([plane.mean(dtype=np.float64) for plane in volume]))
    squares = [np.mean((plane - np.float32(mean)) ** 2, dtype=np.float64) for plane in volume]
    return mean, float(np.sqrt(np.mean(squares)))


def _standardise(volume: NDArray[np.float32], mean: float, deviation: float) -> None:
    """Shift and scale in place; an empty volume stays empty."""
    volume -= np.float32(mean)
    if deviation > 0:
        volume /= np.float32(deviation)
