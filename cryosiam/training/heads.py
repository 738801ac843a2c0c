"""Training of one task at a time, as in the thesis (sections 3.2.2 and 3.4): denoise, sample, semantic, instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from cryosiam.errors import TrainingError, WeightsError
from cryosiam.training.denoised_input import OnDenoised, WithLimits, denoised_limits
from cryosiam.training.dense import labelled_tasks
from cryosiam.training.dense_export import TrainedHeads, export_dense
from cryosiam.training.fit import fit
from cryosiam.training.head_losses import HEADS, HeadTask
from cryosiam.training.held_out import MOST_SCENES, HeldOutFigures
from cryosiam.training.keeping import HeadLosses
from cryosiam.training.starting import bfloat16_is_safe, check_patch, open_start, starting_network
from cryosiam.training.task import TrainingTask
from cryosiam.training.weights_parts import dense_parts_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.limits import Limits
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import Scene
    from cryosiam.training.starting import Start
    from cryosiam.training.task import PatchSource
    from cryosiam.weights import WeightsCard

Heads = Literal["denoise", "lamella", "semantic", "instance"]


@dataclass(frozen=True)
class HeadChoice:
    """Which task learns, and how.

    Parameters
    ----------
    task
        The task.
    freeze_trunk
        Only its heads learn; encoder, pyramid and projector stay as they are, their batch statistics, too.
    denoiser
        Network that denoises what is learnt from, or None to learn from tomograms as they are.
    """

    task: HeadTask
    freeze_trunk: bool = False
    denoiser: DenseNetwork | None = None


def heads_task(
    recipe: Recipe, choice: HeadChoice, source: PatchSource, validation: Sequence[Scene], start: Start
) -> TrainingTask:
    """Return the training of one task.

    Raises
    ------
    TrainingError
        If ``source`` has no labels for it.
    """
    if choice.task not in labelled_tasks(source):
        raise TrainingError(f"there are no labels for the task '{choice.task}'; annotate some or train another task")
    network = starting_network(recipe, HEADS[choice.task], start, "denoised" if choice.denoiser else "tomogram")
    check_patch(recipe, network)
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    batches = source.batches(recipe.patch_zyx, recipe.dense.batch, recipe.dense.seed)
    held_out = validation[:MOST_SCENES]
    limits: NDArray[np.float32] | None = None
    model: torch.nn.Module = network
    frozen: tuple[str, ...] = ("trunk",) if choice.freeze_trunk else ()
    if choice.denoiser is not None:
        limits = denoised_limits(choice.denoiser, held_out)
        model = OnDenoised(choice.denoiser, network)
        batches = WithLimits(batches, limits, recipe.dense.seed)
        frozen = ("denoiser", *(f"network.{name}" for name in frozen))
    return TrainingTask(
        name=str(choice.task),
        model=model,
        batches=batches,
        losses=HeadLosses((choice.task,), recipe.dice),
        frozen=frozen,
        validate=HeldOutFigures(held_out, (choice.task,), recipe.patch_zyx, limits) if held_out else None,
        half_precision=bfloat16_is_safe(recipe.patch_zyx, network.multiple),
    )


def train_heads(
    recipe: Recipe,
    heads: Heads,
    source: PatchSource,
    validation: Sequence[Scene],
    out: Path,
    limits: Limits,
    report: Callable[[str], None],
    *,
    start: Path,
    freeze_trunk: bool = False,
    on_denoised: bool = False,
) -> WeightsCard | None:
    """Train the heads of one task and put them into the weights.

    Networks with one and the same trunk, as those with a frozen one, share a file; others get a file each.

    Parameters
    ----------
    recipe
        Network, patch, Dice loss and optimiser (``dense``).
    heads
        The task: ``denoise`` (eq. 8), ``lamella`` (the sample mask), ``semantic`` (eq. 9 to 12) or ``instance``
        (eq. 13 to 16).
    source, validation
        What to learn from, and scenes that are held out.
    out
        Checkpoints and log go to its folder of the task's name, weights to ``weights``.
    limits
        Time, patience, devices.
    report
        Told what happens.
    start
        Folder with pretraining weights, or with dense weights to fine-tune.
    freeze_trunk
        Let the heads learn alone.
    on_denoised
        Learn from what the denoiser in ``out`` or ``start`` makes of the tomograms.

    Returns
    -------
    WeightsCard or None
        Card of the weights; None where the time ran out before the end.

    Raises
    ------
    WeightsError
        If ``start`` does not fit the recipe, or there is no denoiser where one is needed.
    TrainingError
        If there are no labels for the task, or training fails.
    """
    task = HeadTask(heads)
    opened = open_start(start, recipe)
    denoiser = _denoiser(task, opened, out / "weights") if on_denoised else None
    planned = heads_task(recipe, HeadChoice(task, freeze_trunk, denoiser), source, validation, opened)
    trained = fit(planned, recipe.dense, out / planned.name, limits, report)
    if not (trained.finished and trained.main):
        return None
    network: DenseNetwork = trained.model.network if on_denoised else trained.model  # type: ignore[assignment]
    reads = "denoised" if on_denoised else "tomogram"
    made = TrainedHeads(network, str(task), recipe.dense, reads, trained.hours, trained.steps, opened)
    return export_dense(out / "weights", made, recipe, source, validation, report)


def _denoiser(task: HeadTask, start: Start, folder: Path) -> DenseNetwork:
    if task is HeadTask.DENOISE:
        raise TrainingError("the denoiser learns from noisy tomograms; leave out --on-denoised")
    for part in (*dense_parts_in(folder), *start.dense):
        if part.card.input == "tomogram" and "denoise" in part.card.heads:
            return part.network
    raise WeightsError(
        f"learning from denoised tomograms needs a denoiser, and neither {folder} nor '{start.folder}' has one; "
        "train 'denoise' first"
    )
