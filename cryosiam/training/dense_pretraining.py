"""Self-supervised pretraining of the dense network: DenseSimSiam on two views (thesis 3.1, equations 1 to 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from cryosiam.domain import Contrast
from cryosiam.errors import InputError
from cryosiam.networks.config import DENSE_PRESETS, PretrainingConfig
from cryosiam.networks.simsiam import DenseSimSiam
from cryosiam.training.history import machine
from cryosiam.training.starting import bfloat16_is_safe
from cryosiam.training.task import TrainingTask
from cryosiam.training.two_views import TwoViewBatches
from cryosiam.weights import Task, Training, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from cryosiam.networks.config import DenseConfig
    from cryosiam.networks.simsiam import Overlap
    from cryosiam.training.limits import Limits
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.task import Batch, PatchSource
    from cryosiam.training.two_views import SelfSupervision
    from cryosiam.weights import WeightsCard

STAGE = "pretrain-dense"

_WATCHED = 512


def pretrain_dense(
    recipe: Recipe, source: PatchSource, out: Path, limits: Limits, report: Callable[[str], None]
) -> WeightsCard | None:
    """Pretrain the dense network of a recipe without labels.

    Parameters
    ----------
    recipe
        Names the network preset; gives optimiser, views and losses.
    source
        Where patches come from; labels are not looked at.
    out
        Checkpoints and log go to its folder ``pretrain-dense``, weights to ``weights``.
    limits
        When to stop.
    report
        Told how training goes.

    Returns
    -------
    WeightsCard or None
        Card of the weights in ``out``, where `cryosiam.training.starting.open_start` finds the trunk; None if time ran
        out before the last step, so that training can go on later, and in processes that only help.

    Raises
    ------
    InputError
        If the recipe names no network, or levels or view sizes that its network cannot have.
    TrainingError
        If embeddings collapse, or the loss stops being a finite number.
    """
    from cryosiam.training.fit import fit

    plan = recipe.self_supervision
    if recipe.name not in DENSE_PRESETS:
        raise InputError(f"recipe '{recipe.name}' names no network; give it one of {', '.join(DENSE_PRESETS)}")
    dense = DENSE_PRESETS[recipe.name]
    task = pretraining_task(dense, plan, source, recipe.pretrain_dense.batch, recipe.pretrain_dense.seed)
    trained = fit(task, recipe.pretrain_dense, out / STAGE, limits, report)
    if not (trained.finished and trained.main):
        return None
    network = PretrainingConfig(dense=dense, global_channels=plan.global_channels, levels=plan.levels)
    card = {
        "name": recipe.name,
        "task": Task.PRETRAINING,
        "network": network,
        "voxel_size_angstrom": recipe.voxel_size_angstrom,
        "contrast": Contrast.DARK,
        "training": Training(
            recipe=f"cryosiam train {STAGE} --recipe {recipe.name}",
            data=f"patches of {recipe.voxel_size_angstrom:g} Å voxels, without their labels",
            parameters={**recipe.pretrain_dense.model_dump(), **plan.model_dump(mode="json")},
            hours=round(trained.hours, 2),
            machine=machine(),
        ),
    }
    return save_weights(out / "weights", trained.model, card)


def pretraining_task(
    dense: DenseConfig, plan: SelfSupervision, source: PatchSource, batch: int, seed: int
) -> TrainingTask:
    """Return the task of pretraining a dense network.

    Parameters
    ----------
    dense
        Shape of the network; its heads do not take part.
    plan
        Views and losses.
    source
        Where patches come from.
    batch
        View pairs in a batch. The global loss normalises over them: 4 or more tell views apart.
    seed
        Of initial weights, patches and views.

    Raises
    ------
    InputError
        If the network has none of the levels, or views are no multiple of its coarsest stride.
    """
    coarsest = len(dense.encoder.planes) - 1
    if not all(1 <= level <= coarsest for level in plan.levels):
        wrong = ", ".join(map(str, plan.levels))
        raise InputError(f"the recipe asks for losses on levels {wrong}; this network has 1 to {coarsest}")
    if batch < 2:
        raise InputError("pretraining compares views of a batch; give pretrain_dense a batch of 2 or more, 4 at best")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DenseSimSiam(dense, plan.global_channels, plan.levels)
    stride = model.trunk.encoder.strides[-1]
    if any(n % stride for n in plan.view_zyx):
        size = " x ".join(map(str, plan.view_zyx))
        raise InputError(f"views of {size} voxels do not fit this network; give multiples of {stride} as view_zyx")
    patches = source.batches(plan.patch_zyx, batch, seed)

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return view_losses(model, batch, plan)

    return TrainingTask(
        name=STAGE,
        model=model.to(memory_format=torch.channels_last_3d),  # type: ignore[call-overload]
        batches=TwoViewBatches(patches, plan, stride, seed),
        losses=losses,
        embeddings=voxel_embeddings,
        half_precision=bfloat16_is_safe(plan.view_zyx, stride),
    )


def view_losses(model: nn.Module, batch: Batch, plan: SelfSupervision) -> dict[str, Tensor]:
    """Return the losses of a batch of `TwoViewBatches` (eq. 7); ``total`` is the sum of those that count."""
    view1, view2 = (batch[name].to(memory_format=torch.channels_last_3d) for name in ("view1", "view2"))
    first, second = batch["overlap"][0].tolist()
    values: dict[str, Tensor] = model(view1, view2, _overlap(first), _overlap(second))
    # A loss that does not count has weight zero, so that every parameter still has a gradient.
    values["total"] = sum(float(name in plan.losses) * values[name] for name in ("global", "dense", "level"))  # type: ignore[assignment]
    return values


def voxel_embeddings(model: nn.Module, batch: Batch) -> Tensor:
    """Return embeddings ``(n, d)`` of voxels spread over the first views, to watch for collapse."""
    embedded = cast("DenseSimSiam", model).trunk(batch["view1"])
    voxels = embedded.movedim(1, -1).flatten(0, -2)
    return voxels[:: max(1, len(voxels) // _WATCHED)]  # type: ignore[no-any-return]


def _overlap(corners: list[list[int]]) -> Overlap:
    (z1, y1, x1), (z2, y2, x2) = corners
    return (z1, y1, x1), (z2, y2, x2)
