"""The training loop: averaged weights, checkpoints that survive a kill, and a log."""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cryosiam.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryosiam.training.recipe import OptimiserRecipe

CHECKPOINT_EVERY = 100


def learning_rate(recipe: OptimiserRecipe, step: int) -> float:
    """Return the learning rate at ``step``: linear warm-up, then a cosine to zero."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def train(
    model: nn.Module,
    recipe: OptimiserRecipe,
    data: Callable[[int], Iterator[dict[str, Tensor]]],
    losses: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]],
    folder: Path,
    report: Callable[[int, dict[str, float], float], None],
) -> tuple[nn.Module, float]:
    """Train ``model`` and return the averaged weights.

    Parameters
    ----------
    model
        What to train, in training mode; its parameters change in place.
    recipe
        Steps, rates and seeds.
    data
        Gives batches from a step on.
    losses
        Gives named losses of a batch, ``total`` among them.
    folder
        Where ``checkpoint.pt`` and ``log.csv`` go; training goes on from a checkpoint found there.
    report
        Called with step, losses and seconds so far at every checkpoint.

    Returns
    -------
    nn.Module
        A copy of the model with exponentially averaged weights.
    float
        Hours spent, over all sittings.

    Raises
    ------
    TrainingError
        If the loss stops being a finite number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    averaged = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    first, seconds = _resume(folder / "checkpoint.pt", model, averaged, optimiser)
    started = time.monotonic() - seconds
    running: dict[str, float] = {}
    for step, batch in enumerate(data(first), start=first):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step)
        values = losses(model, batch)
        if not torch.isfinite(values["total"]):
            raise TrainingError(
                f"the loss is not a finite number at step {step + 1}; lower the learning rate in the recipe and "
                f"remove {folder} to start again"
            )
        optimiser.zero_grad(set_to_none=True)
        values["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _average(averaged, model, min(recipe.average_decay, (step + 1) / (step + 10)))
        for name, value in values.items():
            current = float(value.detach())
            running[name] = 0.95 * running.get(name, current) + 0.05 * current
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == recipe.steps:
            seconds = time.monotonic() - started
            _checkpoint(folder / "checkpoint.pt", model, averaged, optimiser, step + 1, seconds)
            _log(folder / "log.csv", step + 1, running)
            report(step + 1, running, seconds)
    return averaged.eval(), (time.monotonic() - started) / 3600


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    for mean, value in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _checkpoint(
    path: Path,
    model: nn.Module,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(path: Path, model: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["seconds"])


def _log(path: Path, step: int, losses: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", *losses])
        writer.writerow([step, *(f"{value:.5f}" for value in losses.values())])
