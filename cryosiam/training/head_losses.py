"""Losses of the task heads on a batch: of one task, or of all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import torch

from cryosiam.networks.losses import (
    denoising_loss,
    generalized_dice_loss,
    instance_loss,
    join_background,
    mean_dice_loss,
    sample_loss,
    semantic_loss,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cryosiam.networks.losses import DiceLoss
    from cryosiam.training.task import Batch

CLASS_WEIGHTS: Final = torch.tensor([1.0, 1.0, 1.0, 2.0, 3.0, 3.0])
"""Weights of the classes' cross-entropy: thin structures have few voxels."""

DICE_LOSSES: Final[dict[str, DiceLoss]] = {"mean": mean_dice_loss, "generalized": generalized_dice_loss}
"""Dice losses by their names in a recipe."""


class HeadTask(StrEnum):
    """A task of the dense network (thesis section 3.2.2, and the sample mask)."""

    DENOISE = "denoise"
    LAMELLA = "lamella"
    SEMANTIC = "semantic"
    INSTANCE = "instance"


HEADS: Final[dict[HeadTask, tuple[str, ...]]] = {
    HeadTask.DENOISE: ("denoise",),
    HeadTask.LAMELLA: ("sample",),
    HeadTask.SEMANTIC: ("semantic",),
    HeadTask.INSTANCE: ("foreground", "distance", "boundary"),
}
"""Heads of each task."""

SHARES: Final[dict[HeadTask, float]] = {
    HeadTask.DENOISE: 5.0,
    HeadTask.SEMANTIC: 1.0,
    HeadTask.INSTANCE: 1.0,
    HeadTask.LAMELLA: 1.0,
}
"""Shares of the tasks in a joint loss, in the order of its sum.

Clean grey values span about one unit, so their squared error needs weight to count beside the others.
"""

HIDDEN: Final = "hidden"
"""Name in a batch of ``(b, classes)`` bool: semantic classes that nobody annotated in a patch."""


def known_name(task: HeadTask) -> str:
    """Return the name in a batch of ``(b, 1, z, y, x)`` bool: voxels whose label of ``task`` is known."""
    return f"known_{task}"


def head_losses(network: nn.Module, batch: Batch, tasks: Sequence[HeadTask], dice: str = "mean") -> dict[str, Tensor]:
    """Return the loss of each task and, as ``total``, their weighted sum.

    Parameters
    ----------
    network
        Gives the heads of ``tasks`` for ``noisy``.
    batch
        As :func:`cryosiam.training.patches.cut_patch` has it; where it holds masks of known labels
        (:func:`known_name`), other voxels do not count.
    tasks
        What to learn.
    dice
        Dice loss of the semantic head, of :data:`DICE_LOSSES`.
    """
    predicted = network(batch["noisy"].to(memory_format=torch.channels_last_3d))
    return weighted({task: task_loss(task, predicted, batch, dice) for task in tasks})


def weighted(losses: Mapping[HeadTask, Tensor]) -> dict[str, Tensor]:
    """Return the losses by name, and their weighted sum as ``total``."""
    shares = [
        losses[task] if share == 1.0 else share * losses[task] for task, share in SHARES.items() if task in losses
    ]
    total = shares[0]
    for loss in shares[1:]:
        total = total + loss
    return {**{str(task): loss for task, loss in losses.items()}, "total": total}


def task_loss(task: HeadTask, predicted: Mapping[str, Tensor], batch: Batch, dice: str = "mean") -> Tensor:
    """Return the loss of one task; see :func:`head_losses`."""
    return _LOSSES[task](predicted, batch, batch.get(known_name(task)), dice)


def _denoise(predicted: Mapping[str, Tensor], batch: Batch, known: Tensor | None, dice: str) -> Tensor:
    return denoising_loss(predicted["denoise"].float(), batch["clean"], known)


def _lamella(predicted: Mapping[str, Tensor], batch: Batch, known: Tensor | None, dice: str) -> Tensor:
    return sample_loss(predicted["sample"].float(), batch["sample"], known)


def _semantic(predicted: Mapping[str, Tensor], batch: Batch, known: Tensor | None, dice: str) -> Tensor:
    logits = predicted["semantic"]
    if HIDDEN in batch:
        logits = join_background(logits, batch[HIDDEN])
    weights = CLASS_WEIGHTS.to(logits.device)
    return semantic_loss(logits, batch["semantic"], weights, DICE_LOSSES[dice], None if known is None else known[:, 0])


def _instance(predicted: Mapping[str, Tensor], batch: Batch, known: Tensor | None, dice: str) -> Tensor:
    return instance_loss(dict(predicted), batch, known)


_LOSSES: Final[dict[HeadTask, Callable[[Mapping[str, Tensor], Batch, Tensor | None, str], Tensor]]] = {
    HeadTask.DENOISE: _denoise,
    HeadTask.LAMELLA: _lamella,
    HeadTask.SEMANTIC: _semantic,
    HeadTask.INSTANCE: _instance,
}
