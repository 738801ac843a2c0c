"""Another microscope for tomograms that cannot be imaged anew: contrast transfer, and dose or thickness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from cryosiam.simulation.microscope.ctf import CTF
from cryosiam.training.augment.contrast import contrast, with_contrast
from cryosiam.training.augment.fourier import HIGHEST, filtered_radially, windowed
from cryosiam.training.augment.ranges import Range, drawn

if TYPE_CHECKING:
    from torch import Tensor

_FLOOR: Final = 0.5
"""Added to both transfer functions: noise does not vanish at their zeros, and a ring of it must not be blown up."""

_SAMPLES: Final = 512


class ContrastTransferRecipe(BaseModel):
    """Changes of defocus and phase plate.

    The defocus a patch was taken at need not be known: a change is that from one defocus of the range to another.

    Attributes
    ----------
    chance
        Share of patches that are changed.
    defocus_um
        Underfocus before and after.
    plate_chance, phase_shift_deg
        Share of changes that bring in a phase plate, and its shift.
    most
        No frequency is changed by more than this factor, up or down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chance: float = Field(default=0.3, ge=0, le=1)
    defocus_um: Range = (1.5, 6.0)
    plate_chance: float = Field(default=0.1, ge=0, le=1)
    phase_shift_deg: Range = (40.0, 120.0)
    most: float = Field(default=2.0, ge=1)

    def draw(self, rng: np.random.Generator) -> tuple[CTF, CTF]:
        """Draw contrast transfer before and after."""
        before, after = drawn(self.defocus_um, rng), drawn(self.defocus_um, rng)
        shift = drawn(self.phase_shift_deg, rng) if rng.random() < self.plate_chance else 0.0
        return CTF(before), CTF(after, phase_shift_deg=shift)


class ThicknessRecipe(BaseModel):
    """Thicker samples and smaller doses: less signal for the noise.

    Attributes
    ----------
    chance
        Share of patches that are changed.
    noise_sigma
        Noise added, in standard deviations of the patch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chance: float = Field(default=0.3, ge=0, le=1)
    noise_sigma: Range = (0.1, 0.7)


def with_contrast_transfer(
    volume: Tensor, voxel_size_angstrom: float, before: CTF, after: CTF, most: float = 2.0
) -> Tensor:
    """Change how strongly each spatial frequency is seen, as if taken with another transfer function.

    Each is multiplied by ``(|after| + 0.5) / (|before| + 0.5)``. Signs stay: the tomogram's own correction is unknown.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32.
    voxel_size_angstrom
        Edge of the voxel.
    before, after
        Transfer functions without astigmatism.
    most
        Bound of the factor, and of its inverse.

    Returns
    -------
    Tensor
        ``(z, y, x)`` float32.
    """
    frequency = np.linspace(0, HIGHEST, _SAMPLES) / voxel_size_angstrom
    ratio = (np.abs(after.at(frequency)) + _FLOOR) / (np.abs(before.at(frequency)) + _FLOOR)
    return filtered_radially(volume, torch.from_numpy(np.clip(ratio, 1 / most, most).astype(np.float32)))


def with_less_dose(volume: Tensor, noise_sigma: float, rng: np.random.Generator) -> Tensor:
    """Bury a volume in more noise of the kind it has, and keep its mean and standard deviation.

    A tomogram's power spectrum is mostly that of its noise, with wedge and filters. So noise is given the amplitudes of
    the volume itself, and random phases.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32.
    noise_sigma
        Noise added, in standard deviations of the volume.
    rng
        Source of the noise.

    Returns
    -------
    Tensor
        ``(z, y, x)`` float32.
    """
    mean = volume.mean()
    white = torch.from_numpy(rng.standard_normal(tuple(volume.shape), np.float32))
    amplitude = torch.fft.rfftn(windowed(volume), norm="ortho").abs()
    noise = torch.fft.irfftn(torch.fft.rfftn(white) * amplitude, s=volume.shape)
    noise = with_contrast(noise, *contrast(volume - mean))
    buried: Tensor = mean + (volume - mean + noise_sigma * noise) / float(np.hypot(1, noise_sigma))
    return buried
