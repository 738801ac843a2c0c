"""Training of a dense network that has learnt already, as it is used: on every look of a tomogram, statistics fixed.

While a network learns from single patches, its batch norms go by each patch alone; in use they go by averages over all
that was learnt from. Of tomograms that were rare among it, such as noiseless ones, those averages are wrong. Here the
averages stay as they are and everything else learns to do with them. Further such stages may show other specimens:
more of the sparse ones, in which noise is easily taken for particles, and larger ones, which hold more large capsids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from cryosiam.errors import InputError, WeightsError
from cryosiam.training.dense import dense_task
from cryosiam.training.dense_export import TrainedHeads, export_dense
from cryosiam.training.fit import fit
from cryosiam.training.imaged import Looks
from cryosiam.training.pipeline import denoise_volume
from cryosiam.training.starting import open_start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.data import SimulatedSource
    from cryosiam.training.limits import Limits
    from cryosiam.training.recipe import Recipe, RefineRecipe
    from cryosiam.training.scene_looks import Look
    from cryosiam.training.scenes import Scene
    from cryosiam.training.starting import Start
    from cryosiam.training.task import TrainingTask
    from cryosiam.weights import WeightsCard

Refining = Literal["refine", "rebalance", "broaden"]
"""A stage that trains a dense network on; all are of one kind, and each has an entry of its own in the recipe."""


class NetworkDenoiser:
    """Denoises tomograms as `cryosiam pick` does.

    Parameters
    ----------
    network
        Has the head ``denoise``.
    """

    def __init__(self, network: DenseNetwork) -> None:
        self._network = network

    def __call__(self, noisy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the denoised tomogram, ``(z, y, x)`` as ``noisy``."""
        with denoise_volume(noisy, self._network) as products:
            return np.array(products.array("denoised"), np.float32)


def refine_recipe(recipe: Recipe, stage: Refining) -> RefineRecipe:
    """Return how a recipe trains a dense network on.

    Raises
    ------
    InputError
        If it has no entry of the name ``stage``.
    """
    how: RefineRecipe | None = getattr(recipe, stage)
    if how is None:
        raise InputError(f"recipe '{recipe.name}' has no entry '{stage}'; add one, such as that of the recipe 'light'")
    return how


def with_specimens(recipe: Recipe, how: RefineRecipe) -> Recipe:
    """Return the recipe with the specimens that a stage learns from."""
    return recipe.model_copy(update={"specimens": how.specimens}) if how.specimens else recipe


def refine_task(
    recipe: Recipe, source: SimulatedSource, validation: Sequence[Scene], start: Start, stage: Refining = "refine"
) -> TrainingTask:
    """Return the joint training of all heads on noisy, clear and denoised tomograms, with fixed batch statistics.

    Parameters
    ----------
    recipe
        Its entry of the stage's name says how.
    source
        Specimens to image.
    validation
        Scenes to measure on while training; may be empty.
    start
        Weights to start from, which also denoise.
    stage
        Name of the stage.

    Raises
    ------
    InputError
        If the recipe has no such entry.
    WeightsError
        If ``start`` has no dense network that denoises.
    """
    how = refine_recipe(recipe, stage)
    denoising = start.with_heads(["denoise"])
    if denoising is None:
        raise WeightsError(f"'{start.folder}' holds no network that denoises; train one with 'cryosiam train dense'")
    looks = Looks(how.clear, how.denoised, NetworkDenoiser(denoising.network.eval()) if how.denoised else None)
    # The optimiser of the stage takes the place of that which the network first learnt by.
    own = recipe.model_copy(update={"dense": how})
    task = dense_task(own, replace(source, looks=looks), validation, start)
    return replace(task, name=stage, frozen_statistics=True)


@torch.no_grad()
def mix_weights(network: DenseNetwork, old: DenseNetwork, share: float) -> None:
    """Replace a network's weights by their mean with those of ``old``, which count ``share``.

    The batch statistics of both are the same. Heads that ``old`` lacks stay as they are.
    """
    before = dict(old.named_parameters())
    for name, weights in network.named_parameters():
        if name in before:
            weights.lerp_(before[name].to(weights), share)


def refine(
    recipe: Recipe,
    source: SimulatedSource,
    validation: Sequence[Scene],
    out: Path,
    limits: Limits,
    report: Callable[[str], None],
    *,
    start: Path,
    stage: Refining = "refine",
) -> WeightsCard | None:
    """Train a dense network on and write the weights.

    Parameters
    ----------
    recipe
        Its entry of the stage's name says how; its specimens are those that the stage learns from.
    source
        Specimens to image.
    validation
        Scenes that are held out: for figures while training, calibration of scores, and accuracy.
    out
        Checkpoints and log go to its folder of the stage's name, weights to ``weights``.
    limits
        Time, patience, devices.
    report
        Told what happens.
    start
        Folder with dense weights.
    stage
        Name of the stage.

    Returns
    -------
    WeightsCard or None
        Card of the weights; None where the time ran out before the end.

    Raises
    ------
    InputError, WeightsError
        If the recipe has no such entry, or ``start`` does not fit it.
    TrainingError
        If training fails.
    """
    opened = open_start(start, recipe)
    task = refine_task(recipe, source, validation, opened, stage)
    how = refine_recipe(recipe, stage)
    trained = fit(task, how, out / stage, limits, report)
    if not (trained.finished and trained.main):
        return None
    network: DenseNetwork = trained.model  # type: ignore[assignment]
    first = opened.with_heads(network.heads)
    before = first.card.training if first else None
    if first and how.kept:
        mix_weights(network, first.network, how.kept)
    shown: dict[Look, float] = {"noisy": 1.0 - how.clear - how.denoised, "clear": how.clear, "denoised": how.denoised}
    looks = tuple(look for look, share in shown.items() if share > 0)
    made = TrainedHeads(network, stage, how, "tomogram", trained.hours, trained.steps, opened, before, looks)
    return export_dense(out / "weights", made, recipe, source, validation, report)
