"""The learning rate and the average of the weights, step by step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from cryosiam.training.recipe import OptimiserRecipe


def learning_rate(recipe: OptimiserRecipe, step: int) -> float:
    """Return the learning rate at ``step``, counted from 0: linear warm-up, then a cosine to zero."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def average_decay(recipe: OptimiserRecipe, step: int) -> float:
    """Return the weight of the old average at ``step``, counted from 0: small at first, to forget initial weights."""
    return min(recipe.average_decay, (step + 1) / (step + 10))


@torch.no_grad()
def average_into(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move ``averaged`` towards ``model`` by ``1 - decay``, batch statistics too; integers are copied."""
    means: list[Tensor] = []
    values: list[Tensor] = []
    for mean, value in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            means.append(mean)
            values.append(value)
        else:
            mean.copy_(value)
    if means:
        torch._foreach_lerp_(means, values, 1 - decay)
