"""Losses of the task heads (thesis section 3.2.2, equations 8 to 16)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def denoising_loss(predicted: Tensor, clean: Tensor) -> Tensor:
    """Mean squared error over all voxels (eq. 8)."""
    return F.mse_loss(predicted, clean)


def generalized_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Generalized Dice loss with class weights ``1 / volume**2`` (eq. 10, Sudre et al. 2017).

    Parameters
    ----------
    logits
        ``(b, c, z, y, x)``.
    labels
        ``(b, z, y, x)`` int64 class indices. Classes that are absent have no weight.
    """
    probability = torch.softmax(logits.float(), dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = (0, 2, 3, 4)
    volume = truth.sum(axes)
    weight = torch.where(volume > 0, volume.clamp(min=1.0) ** -2, torch.zeros_like(volume))
    overlap = (weight * (truth * probability).sum(axes)).sum()
    total = (weight * (truth + probability).sum(axes)).sum()
    return 1.0 - 2.0 * overlap / total.clamp(min=torch.finfo(total.dtype).tiny)


def mean_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return one minus the mean soft Dice of the classes that are present, the figure that is reported.

    Parameters
    ----------
    logits
        ``(b, c, z, y, x)``.
    labels
        ``(b, z, y, x)`` int64 class indices.
    """
    probability = torch.softmax(logits.float(), dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = (0, 2, 3, 4)
    volume = truth.sum(axes)
    dice = 2 * (truth * probability).sum(axes) / (volume + probability.sum(axes))
    return 1.0 - dice[volume > 0].mean()


def semantic_loss(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    dice: Callable[[Tensor, Tensor], Tensor] = generalized_dice_loss,
) -> Tensor:
    """Cross-entropy plus a Dice loss (eq. 9, 10 and 12 without the distance term, which has its own head)."""
    return F.cross_entropy(logits.float(), labels, weight=class_weights) + dice(logits, labels)


def instance_loss(predicted: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
    """Distance, boundary and foreground losses (eq. 13 to 16).

    Parameters
    ----------
    predicted
        ``distance`` in voxels, ``boundary`` and ``foreground`` logits, each ``(b, 1, z, y, x)``.
    target
        The same keys: distance in voxels, boundary and foreground in [0, 1].
    """
    distance = F.mse_loss(predicted["distance"].float(), target["distance"])
    boundary = F.binary_cross_entropy_with_logits(predicted["boundary"].float(), target["boundary"])
    foreground = F.binary_cross_entropy_with_logits(predicted["foreground"].float(), target["foreground"])
    return distance + boundary + foreground
