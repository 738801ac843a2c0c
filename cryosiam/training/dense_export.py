"""Trained dense networks turned into weights: scores calibrated, accuracy measured, cards written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.training.class_priors import balance_classes
from cryosiam.training.data import SimulatedSource
from cryosiam.training.dense_accuracy import ACCURACY_OF, calibrate, measure_dense
from cryosiam.training.head_losses import HEADS
from cryosiam.training.history import after, machine
from cryosiam.training.weights_parts import dense_parts_in, with_heads_only, with_network, write_parts
from cryosiam.weights import DenseWeights, Task, Training, WeightsCard, load_dense_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.recipe import OptimiserRecipe, Recipe
    from cryosiam.training.scene_looks import Look
    from cryosiam.training.scenes import Scene
    from cryosiam.training.starting import Start
    from cryosiam.training.task import PatchSource

_UNWRITTEN = "0" * 64


@dataclass(frozen=True)
class TrainedHeads:
    """A dense network that was trained, and how.

    Parameters
    ----------
    network
        The network, averaged.
    stage
        Stage of training, such as ``dense`` or ``semantic``.
    optimiser
        Of the stage.
    reads
        ``"tomogram"`` or ``"denoised"``.
    hours, steps
        Time and steps spent.
    start
        Weights it started from.
    before
        Training that this one goes on with, to be told beside it.
    looks
        As what it was shown tomograms; scores are calibrated on all of them.
    """

    network: DenseNetwork
    stage: str
    optimiser: OptimiserRecipe
    reads: str
    hours: float
    steps: int
    start: Start | None
    before: Training | None = None
    looks: tuple[Look, ...] = ("noisy",)


def export_dense(
    folder: Path,
    trained: TrainedHeads,
    recipe: Recipe,
    source: PatchSource,
    validation: Sequence[Scene],
    report: Callable[[str], None],
) -> WeightsCard:
    """Put a trained network into a weights folder beside those that are there, and return its card.

    Where the folder holds no dense network yet, what training started from comes along, so that the folder can do what
    those weights could. Class offsets are folded into what learnt from simulated specimens. Scores are calibrated on
    every other one of the held-out scenes and accuracy is measured on the rest; with one scene there is no calibration.

    Parameters
    ----------
    folder
        The weights folder.
    trained
        What was trained.
    recipe, source
        What it was trained by and from.
    validation
        Scenes it never saw.
    report
        Told what could not be done.
    """
    start = trained.start
    parts = dense_parts_in(folder) or (start.dense if start else ())
    network = trained.network.cpu().eval()
    facts: dict[str, Any] = {}
    if "semantic" in network.heads and trained.reads == "tomogram" and isinstance(source, SimulatedSource):
        offsets = balance_classes(network, source, trained.optimiser.seed, trained.looks)
        facts["class_offsets"] = offsets.tolist()
    new = DenseWeights(network, _card(trained, recipe, source, facts))
    if trained.reads == "denoised" and start and not any("denoise" in part.card.heads for part in parts):
        denoisers = [part for part in start.dense if "denoise" in part.card.heads]
        parts = (*parts, *(with_heads_only(part, ["denoise"]) for part in denoisers))
    parts = _as_stored(with_network(parts, new))
    fitted, measured = (validation[::2], validation[1::2]) if len(validation) > 1 else ([], validation)
    if "foreground" in trained.network.heads or any("foreground" in part.card.heads for part in parts):
        parts = _calibrated(parts, fitted, report, trained.looks)
    parts = _measured(parts, measured)
    cards = write_parts(folder, parts, start.folder if start else None)
    return next(card for card in cards if set(trained.network.heads) <= set(card.heads))


def _card(trained: TrainedHeads, recipe: Recipe, source: PatchSource, facts: dict[str, Any]) -> WeightsCard:
    network = trained.network
    parameters = {
        **trained.optimiser.model_dump(exclude={"specimens"}),
        "steps": trained.steps,
        "patch_zyx": list(recipe.patch_zyx),
        "dice": recipe.dice,
        **facts,
    }
    if trained.start is not None and trained.before is None:
        parameters["started_from"] = str(trained.start.folder)
    own = Training(
        recipe=f"cryosiam train {trained.stage} --recipe {recipe.name}",
        data=data_description(recipe, source),
        parameters={trained.stage: parameters},
        hours=round(trained.hours, 2),
        machine=machine(),
    )
    return WeightsCard(
        name=recipe.name,
        task=Task.DENSE,
        sha256=_UNWRITTEN,
        network=network.config,
        heads=network.heads,
        semantic_classes=SEMANTIC_CLASSES if "semantic" in network.heads else (),
        voxel_size_angstrom=recipe.voxel_size_angstrom,
        contrast=Contrast.DARK,
        input=trained.reads,
        halo=network.halo,
        training=after(trained.before, own),
    )


def data_description(recipe: Recipe, source: PatchSource) -> str:
    """Return what networks learn from, in words: the source's own, or the recipe's specimens."""
    own = getattr(source, "description", None)
    if own is not None:
        return str(own)
    groups = ", ".join(f"{group.preset} {group.seeds[0]} to {group.seeds[1]}" for group in recipe.specimens)
    return f"simulated specimens of {recipe.voxel_size_angstrom:g} Å, imaged anew all the time; seeds of {groups}"


def _as_stored(parts: Sequence[DenseWeights]) -> tuple[DenseWeights, ...]:
    """Return the networks as they are once they went to a file and back."""
    with tempfile.TemporaryDirectory() as scratch:
        write_parts(Path(scratch), parts)
        return load_dense_parts(scratch)


def _calibrated(
    parts: Sequence[DenseWeights], scenes: Sequence[Scene], report: Callable[[str], None], looks: Sequence[Look]
) -> tuple[DenseWeights, ...]:
    score = calibrate(parts, scenes, report, looks)
    if score is None:
        return tuple(parts)
    return tuple(_changed(part, score=score) if "foreground" in part.card.heads else part for part in parts)


def _measured(parts: Sequence[DenseWeights], scenes: Sequence[Scene]) -> tuple[DenseWeights, ...]:
    figures = measure_dense(parts, scenes)
    measured = []
    for part in parts:
        tasks = [task for task, heads in HEADS.items() if set(heads) & set(part.card.heads)]
        own = {name: value for name, value in figures.items() if any(name.startswith(ACCURACY_OF[t]) for t in tasks)}
        measured.append(_changed(part, accuracy=own))
    return tuple(measured)


def _changed(part: DenseWeights, **fields: Any) -> DenseWeights:
    return replace(part, card=part.card.model_copy(update=fields))
