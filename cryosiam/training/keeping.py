"""Losses of heads, with those that have no labels held to what they said before."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from cryosiam.training.head_losses import HeadTask, task_loss, weighted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cryosiam.training.task import Batch


@dataclass
class HeadLosses:
    """Losses of a batch: labels for the tasks that have any, the starting network's answers for the others.

    Without the latter, a trunk that learns moves away under heads that cannot learn along (learning without
    forgetting, Li & Hoiem 2016, arXiv:1606.09282).

    Parameters
    ----------
    tasks
        Tasks with labels.
    dice
        Dice loss of the semantic head, of :data:`cryosiam.training.head_losses.DICE_LOSSES`.
    kept
        Tasks held to the answers of ``before``.
    before
        The network as it was before training; it is copied.
    """

    tasks: tuple[HeadTask, ...]
    dice: str = "mean"
    kept: tuple[HeadTask, ...] = ()
    before: nn.Module | None = None
    _teacher: nn.Module | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.kept and self.before is not None:
            self._teacher = copy.deepcopy(self.before).eval().requires_grad_(False)

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of each task and, as ``total``, their weighted sum."""
        noisy = batch["noisy"].to(memory_format=torch.channels_last_3d)
        predicted = network(noisy, batch["limits"]) if "limits" in batch else network(noisy)
        losses = {task: task_loss(task, predicted, batch, self.dice) for task in self.tasks}
        if self._teacher is not None:
            with torch.no_grad():
                answers = self._teacher.to(noisy.device)(noisy)
            losses |= {task: keeping_loss(task, predicted, answers) for task in self.kept}
        return weighted(losses)


def keeping_loss(task: HeadTask, predicted: Mapping[str, Tensor], answers: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of one task with a network's raw answers in place of labels, at every voxel."""
    if task is HeadTask.SEMANTIC:
        return F.cross_entropy(predicted["semantic"].float(), torch.softmax(answers["semantic"].float(), dim=1))
    linear = {"denoise": "clean", "distance": "distance"}
    labels = {
        linear.get(name, name): value.float() if name in linear else torch.sigmoid(value.float())
        for name, value in answers.items()
    }
    return task_loss(task, predicted, labels)
