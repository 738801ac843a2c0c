"""Losses of the task heads (thesis section 3.2.2, equations 8 to 16), over all voxels or over those of known label."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

DiceLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A Dice loss of logits, labels and known voxels."""


def denoising_loss(predicted: Tensor, clean: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean squared error over the known voxels, by default all (eq. 8); arrays of one shape."""
    if known is None:
        return F.mse_loss(predicted, clean)
    return mean_where(F.mse_loss(predicted, clean, reduction="none"), known)


def sample_loss(logits: Tensor, sample: Tensor, known: Tensor | None = None) -> Tensor:
    """Binary cross-entropy over the known voxels, by default all; arrays of one shape."""
    if known is None:
        return F.binary_cross_entropy_with_logits(logits, sample)
    return mean_where(F.binary_cross_entropy_with_logits(logits, sample, reduction="none"), known)


def mean_where(values: Tensor, known: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean of ``values`` where ``known`` is true, weighted if wanted; 0 where nothing is known.

    A voxel that is not known has no gradient, whatever its value.
    """
    weight = known.to(values.dtype)
    if weights is not None:
        weight = weight * weights
    chosen = torch.where(known, values, torch.zeros_like(values))
    total = weight.sum()
    return (weight * chosen).sum() / torch.where(total > 0, total, torch.ones_like(total))


def generalized_dice_loss(logits: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """Generalized Dice loss with class weights ``1 / volume**2`` (eq. 10, Sudre et al. 2017).

    Parameters
    ----------
    logits
        ``(b, c, z, y, x)``.
    labels
        ``(b, z, y, x)`` int64 class indices. Classes that are absent have no weight.
    known
        ``(b, z, y, x)`` bool: voxels that count; by default all. The loss is 0 where none does.
    """
    overlap, volume, predicted = _sums(logits, labels, known)
    if not bool(volume.any()):
        return 0.0 * logits.float().sum()
    weight = torch.where(volume > 0, volume.clamp(min=1.0) ** -2, torch.zeros_like(volume))
    total = (weight * (volume + predicted)).sum()
    return 1.0 - 2.0 * (weight * overlap).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)


def mean_dice_loss(logits: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """Return one minus the mean soft Dice of the classes that are present, the figure that is reported.

    Parameters
    ----------
    logits
        ``(b, c, z, y, x)``.
    labels
        ``(b, z, y, x)`` int64 class indices.
    known
        ``(b, z, y, x)`` bool: voxels that count; by default all. The loss is 0 where none does.
    """
    overlap, volume, predicted = _sums(logits, labels, known)
    if not bool(volume.any()):
        return 0.0 * logits.float().sum()
    # A class that is neither there nor predicted has no Dice; dividing for it would spoil every gradient.
    there = volume > 0
    return 1.0 - (2 * overlap[there] / (volume[there] + predicted[there])).mean()


def _sums(logits: Tensor, labels: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return, per class, the overlap of truth and probability, the true and the predicted volume, each ``(c,)``."""
    probability = torch.softmax(logits.float(), dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    if known is not None:
        truth, probability = truth * known[:, None], probability * known[:, None]
    axes = (0, 2, 3, 4)
    return (truth * probability).sum(axes), truth.sum(axes), probability.sum(axes)


def semantic_loss(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    dice: DiceLoss = generalized_dice_loss,
    known: Tensor | None = None,
) -> Tensor:
    """Cross-entropy plus a Dice loss (eq. 9, 10 and 12 without the distance term, which has its own head).

    Parameters
    ----------
    logits
        ``(b, c, z, y, x)``.
    labels
        ``(b, z, y, x)`` int64 class indices.
    class_weights
        ``(c,)`` weights of the classes in the cross-entropy.
    dice
        The Dice loss.
    known
        ``(b, z, y, x)`` bool: voxels that count; by default all. The loss is 0 where none does.
    """
    if known is None:
        return F.cross_entropy(logits.float(), labels, weight=class_weights) + dice(logits, labels, None)
    entropy = F.cross_entropy(logits.float(), labels, reduction="none")
    weights = None if class_weights is None else class_weights[labels]
    return mean_where(entropy, known, weights) + dice(logits, labels, known)


def join_background(logits: Tensor, hidden: Tensor) -> Tensor:
    """Return logits in which the background stands for the classes that nobody annotated, too.

    Where only some classes were annotated, a voxel without a label is of one of the others or of none. Its likelihood
    is the sum of their probabilities (marginal loss, Shi et al. 2021, Med. Image Anal. 70:101979).

    Parameters
    ----------
    logits
        ``(b, c, z, y, x)``, channel 0 the background's.
    hidden
        ``(b, c)`` bool: classes that were not annotated in a patch; the background is not one of them.
    """
    lowest = torch.finfo(torch.float32).min
    absent = hidden[:, :, None, None, None]
    full = logits.float()
    others = full.masked_fill(~absent, lowest)
    background = torch.logsumexp(torch.cat([full[:, :1], others[:, 1:]], dim=1), dim=1, keepdim=True)
    return torch.cat([background, full[:, 1:].masked_fill(absent[:, 1:], lowest)], dim=1)


def instance_loss(predicted: dict[str, Tensor], target: dict[str, Tensor], known: Tensor | None = None) -> Tensor:
    """Distance, boundary and foreground losses (eq. 13 to 16).

    Parameters
    ----------
    predicted
        ``distance`` in voxels, ``boundary`` and ``foreground`` logits, each ``(b, 1, z, y, x)``.
    target
        The same keys: distance in voxels, boundary and foreground in [0, 1].
    known
        ``(b, 1, z, y, x)`` bool: voxels that count; by default all.
    """
    distance = denoising_loss(predicted["distance"].float(), target["distance"], known)
    boundary = sample_loss(predicted["boundary"].float(), target["boundary"], known)
    foreground = sample_loss(predicted["foreground"].float(), target["foreground"], known)
    return distance + boundary + foreground
