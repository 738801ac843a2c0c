"""The fast path: a noisy tomogram straight from the specimen, by the optics of the tilt series in Fourier space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
from torch import Tensor

from cryosiam.simulation.fast.planes import TiltPlanes
from cryosiam.simulation.fast.transfer import SeriesTransfer, TiltState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SimulationSpec

_BLOCK: Final = 16
"""Frequencies along x that are worked on at once. Noise is drawn block by block, so it is part of the result."""

Correction = Literal["none", "phase-flip", "wiener"]


@dataclass(frozen=True)
class FastVolumes:
    """Reconstructions ``(z, y, x)`` float32, protein dark, each of zero mean and unit variance.

    Parameters
    ----------
    noisy
        The main volume.
    corrected
        CTF-corrected by a Wiener filter, where the recipe asks for it.
    halves
        Two volumes with independent noise, where the recipe asks for them; ``noisy`` is their mean.
    """

    noisy: NDArray[np.float32]
    corrected: NDArray[np.float32] | None = None
    halves: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


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
        tilts = TiltState.drawn(spec, np.random.default_rng(0)).tilt_angles_deg
        self.planes = TiltPlanes(shape_zyx or spec.shape_zyx, tilts, device)

    def image(
        self, density: NDArray[np.float32], rng: np.random.Generator, state: TiltState | None = None
    ) -> FastVolumes:
        """Return the reconstructions that the recipe asks for.

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
        projected = self.planes.project(density)
        images = [torch.empty_like(projected) for _ in range(2 if wanted.halves else 1)]
        for block in self._blocks():
            signal = transfer.signal(block) * projected[block]
            level = transfer.noise(block) * len(images) ** 0.5
            for one in images:
                one[block] = signal + self._white_noise(block, rng) * level
        del projected
        halves = None
        if wanted.halves:
            halves = self._volume(images[0], transfer), self._volume(images[1], transfer)
            images[0].add_(images[1]).mul_(0.5)
            del images[1]
        corrected = self._volume(images[0], transfer, "wiener") if wanted.corrected_volume else None
        return FastVolumes(self._volume(images[0], transfer), corrected, halves)

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
        for block in self._blocks():
            images[block] *= transfer.signal(block)
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

    def _volume(
        self, images: Tensor, transfer: SeriesTransfer, correction: Correction | None = None
    ) -> NDArray[np.float32]:
        volume = self._reconstructed(images, transfer, correction)
        # In float64: the sum of 10^8 float32 numbers loses digits.
        volume -= np.float32(volume.mean(dtype=np.float64))
        volume /= np.float32(np.sqrt(np.mean(np.square(volume), dtype=np.float64)))
        return volume

    def _reconstructed(
        self, images: Tensor, transfer: SeriesTransfer, correction: Correction | None
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
        return self.planes.back_project(weighted)

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
