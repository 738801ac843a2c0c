"""Mean and standard deviation of grey values, measured and given back."""

from __future__ import annotations

import torch
from torch import Tensor


def contrast(volume: Tensor, support: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean of the voxels in ``support`` (all by default); both 0 if there are none."""
    counted = volume if support is None else volume[support]
    if counted.numel() == 0:
        return volume.new_zeros(()), volume.new_zeros(())
    deviation, mean = torch.std_mean(counted, correction=0)
    return deviation, mean


def with_contrast(view: Tensor, deviation: Tensor, mean: Tensor, support: Tensor | None = None) -> Tensor:
    """Scale and shift a volume to the standard deviation and mean given."""
    own_deviation, own_mean = contrast(view, support)
    # A flat view stays flat: the little that rounding leaves of it must not become its contrast.
    least = 1e-5 * (deviation + own_mean.abs() + mean.abs()) + torch.finfo(torch.float32).tiny
    return (view - own_mean) * (deviation / torch.maximum(own_deviation, least)) + mean
