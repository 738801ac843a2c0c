"""Training of the dense network: all heads together on noisy tomograms, the denoiser among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cryosiam.networks.config import DENSE_HEADS
from cryosiam.training.dense_export import TrainedHeads, export_dense
from cryosiam.training.fit import fit
from cryosiam.training.head_losses import HEADS, HeadTask
from cryosiam.training.held_out import HeldOutFigures
from cryosiam.training.keeping import HeadLosses
from cryosiam.training.starting import bfloat16_is_safe, check_patch, open_start, starting_network
from cryosiam.training.task import TrainingTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.limits import Limits
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import Scene
    from cryosiam.training.starting import Start
    from cryosiam.training.task import PatchSource
    from cryosiam.weights import WeightsCard

STAGE = "dense"


def dense_task(
    recipe: Recipe, source: PatchSource, validation: Sequence[Scene], start: Start | None = None
) -> TrainingTask:
    """Return the joint training of all heads.

    Heads whose labels ``source`` does not have learn nothing: those of ``start`` are held to what they said before,
    and a network from elsewhere does not get them.

    Parameters
    ----------
    recipe
        Network, patch, Dice loss and optimiser.
    source
        What to learn from; may name the ``tasks`` it has labels for.
    validation
        Scenes to measure on while training; may be empty.
    start
        Weights to start from.
    """
    tasks = labelled_tasks(source)
    before = start.with_heads(tuple(DENSE_HEADS)) if start else None
    kept = tuple(task for task in HEADS if task not in tasks and before and set(HEADS[task]) <= set(before.card.heads))
    heads = tuple(head for head in DENSE_HEADS if any(head in HEADS[task] for task in (*tasks, *kept)))
    network = starting_network(recipe, heads, start)
    check_patch(recipe, network)
    return TrainingTask(
        name=STAGE,
        model=network.to(memory_format=torch.channels_last_3d),  # type: ignore[call-overload]
        batches=source.batches(recipe.patch_zyx, recipe.dense.batch, recipe.dense.seed),
        losses=HeadLosses(tasks, recipe.dice, kept, network if kept else None),
        validate=HeldOutFigures(validation, tasks, recipe.patch_zyx) if validation else None,
        half_precision=bfloat16_is_safe(recipe.patch_zyx, network.multiple),
    )


def labelled_tasks(source: PatchSource) -> tuple[HeadTask, ...]:
    """Return the tasks that a source has labels for; simulated specimens have them all."""
    known = getattr(source, "tasks", None)
    return tuple(task for task in HeadTask if known is None or task in known)


def train_dense(
    recipe: Recipe,
    source: PatchSource,
    validation: Sequence[Scene],
    out: Path,
    limits: Limits,
    report: Callable[[str], None],
    *,
    start: Path | None = None,
) -> WeightsCard | None:
    """Train all heads jointly and write the weights.

    Parameters
    ----------
    recipe
        Network, patch, Dice loss and optimiser.
    source
        What to learn from.
    validation
        Scenes that are held out: for figures while training, calibration of scores, and accuracy.
    out
        Checkpoints and log go to its folder ``dense``, weights to ``weights``.
    limits
        Time, patience, devices.
    report
        Told what happens.
    start
        Folder with pretraining weights, whose trunk is taken, or with dense weights to fine-tune.

    Returns
    -------
    WeightsCard or None
        Card of the weights; None where the time ran out before the end.

    Raises
    ------
    InputError, WeightsError
        If the recipe names no network, or ``start`` does not fit it.
    TrainingError
        If training fails.
    """
    opened = open_start(start, recipe) if start is not None else None
    task = dense_task(recipe, source, validation, opened)
    trained = fit(task, recipe.dense, out / STAGE, limits, report)
    if not (trained.finished and trained.main):
        return None
    network: DenseNetwork = trained.model  # type: ignore[assignment]
    made = TrainedHeads(network, STAGE, recipe.dense, "tomogram", trained.hours, trained.steps, opened)
    return export_dense(out / "weights", made, recipe, source, validation, report)
