"""Filters in Fourier space that do not wrap around a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

HIGHEST: Final = 3**0.5 / 2
"""Spatial frequency in the corner of Fourier space, in cycles per voxel."""

_PAD: Final = 0.25


def filtered(volume: Tensor, factor: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Multiply the Fourier transform of a volume by a real factor; the mean is left as it is.

    The volume is first continued on all sides by its mirror image, a quarter of its edge wide, which fades to the mean:
    opposite faces then meet without a step, and what a filter smears over one face does not come in at the other.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32.
    factor
        Gives the factor for spatial frequencies along z, y and x in cycles per voxel, shaped ``(z, 1, 1)``,
        ``(1, y, 1)`` and ``(1, 1, x)``, x not negative. It is the same for opposite frequencies.

    Returns
    -------
    Tensor
        ``(z, y, x)`` float32.
    """
    mean = volume.mean()
    margins = [min(n - 1, round(_PAD * n)) for n in volume.shape]
    sizes = [int(next_fast_len(n + 2 * m, real=True)) for n, m in zip(volume.shape, margins, strict=True)]
    pads = [(m, min(n - 1, size - n - m)) for n, m, size in zip(volume.shape, margins, sizes, strict=True)]
    padded = F.pad((volume - mean)[None, None], [p for pair in reversed(pads) for p in pair], mode="reflect")[0, 0]
    for axis, (before, after) in enumerate(pads):
        ramp = _ramp(volume.shape[axis], before, after)
        padded = padded * ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    depth, height, width = padded.shape
    kz = torch.fft.fftfreq(depth)[:, None, None]
    ky = torch.fft.fftfreq(height)[:, None]
    kx = torch.fft.rfftfreq(width)
    changed = torch.fft.irfftn(torch.fft.rfftn(padded) * factor(kz, ky, kx[None, None]), s=padded.shape)
    kept = [slice(before, before + n) for n, (before, _) in zip(volume.shape, pads, strict=True)]
    result: Tensor = changed[kept[0], kept[1], kept[2]] + mean
    return result


def filtered_radially(volume: Tensor, profile: Tensor) -> Tensor:
    """Filter a volume by a factor that depends on the length of the spatial frequency alone.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32.
    profile
        Factors at evenly spaced frequencies from 0 to :data:`HIGHEST`; between them it is interpolated linearly.
    """
    steps = len(profile) - 1

    def factor(kz: Tensor, ky: Tensor, kx: Tensor) -> Tensor:
        at = torch.sqrt(kz**2 + ky**2 + kx**2) * (steps / HIGHEST)
        lower = at.long().clamp(max=steps - 1)
        return torch.lerp(profile[lower], profile[lower + 1], at - lower)

    return filtered(volume, factor)


def windowed(volume: Tensor) -> Tensor:
    """Return a volume freed of its mean, under a Hann window that leaves its mean square power as it was.

    The Fourier transform of what is returned shows no cross from the steps between opposite faces.
    """
    values = volume - volume.mean()
    for axis, n in enumerate(volume.shape):
        hann = torch.sin(torch.pi * (torch.arange(n) + 0.5) / n) ** 2
        values = values * (hann / hann.square().mean().sqrt()).reshape([-1 if a == axis else 1 for a in range(3)])
    return values


def _ramp(length: int, before: int, after: int) -> Tensor:
    """Return 1 over the volume, and a fall to 0 over the padding on either side."""
    rise = torch.sin(torch.pi / 2 * (torch.arange(before) + 0.5) / max(before, 1)) ** 2
    fall = torch.sin(torch.pi / 2 * (torch.arange(after) + 0.5) / max(after, 1)) ** 2
    return torch.cat([rise, torch.ones(length), fall.flip(0)])
