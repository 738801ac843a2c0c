"""Training of a dense network that has learnt already, as it is used: on every look of a tomogram, statistics fixed.

While a network learns from single patches, its batch norms go by each patch alone; in use they go by averages over all
that was learnt from. Of tomograms that were rare among it, such as noiseless ones, those averages are wrong. Here the
averages stay as they are and everything else learns to do with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

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
    from cryosiam.training.scenes import Scene
    from cryosiam.training.starting import Start
    from cryosiam.training.task import TrainingTask
    from cryosiam.weights import WeightsCard

STAGE = "refine"


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


def refine_recipe(recipe: Recipe) -> RefineRecipe:
    """Return how a recipe refines.

    Raises
    ------
    InputError
        If it has no entry ``refine``.
    """
    if recipe.refine is None:
        raise InputError(f"recipe '{recipe.name}' has no entry 'refine'; add one, such as that of the recipe 'light'")
    return recipe.refine


def refine_task(recipe: Recipe, source: SimulatedSource, validation: Sequence[Scene], start: Start) -> TrainingTask:
    """Return the joint training of all heads on noisy, clear and denoised tomograms, with fixed batch statistics.

    Parameters
    ----------
    recipe
        Its entry ``refine`` says how.
    source
        Specimens to image.
    validation
        Scenes to measure on while training; may be empty.
    start
        Weights to start from, which also denoise.

    Raises
    ------
    InputError
        If the recipe has no entry ``refine``.
    WeightsError
        If ``start`` has no dense network that denoises.
    """
    how = refine_recipe(recipe)
    denoising = start.with_heads(["denoise"])
    if denoising is None:
        raise WeightsError(f"'{start.folder}' holds no network that denoises; train one with 'cryosiam train dense'")
    looks = Looks(how.clear, how.denoised, NetworkDenoiser(denoising.network.eval()) if how.denoised else None)
    # The optimiser of the stage takes the place of that which the network first learnt by.
    stage = recipe.model_copy(update={"dense": how})
    task = dense_task(stage, replace(source, looks=looks), validation, start)
    return replace(task, name=STAGE, frozen_statistics=True)


def refine(
    recipe: Recipe,
    source: SimulatedSource,
    validation: Sequence[Scene],
    out: Path,
    limits: Limits,
    report: Callable[[str], None],
    *,
    start: Path,
) -> WeightsCard | None:
    """Train a dense network on and write the weights.

    Parameters
    ----------
    recipe
        Its entry ``refine`` says how.
    source
        Specimens to image.
    validation
        Scenes that are held out: for figures while training, calibration of scores, and accuracy.
    out
        Checkpoints and log go to its folder ``refine``, weights to ``weights``.
    limits
        Time, patience, devices.
    report
        Told what happens.
    start
        Folder with dense weights.

    Returns
    -------
    WeightsCard or None
        Card of the weights; None where the time ran out before the end.

    Raises
    ------
    InputError, WeightsError
        If the recipe has no entry ``refine``, or ``start`` does not fit it.
    TrainingError
        If training fails.
    """
    opened = open_start(start, recipe)
    task = refine_task(recipe, source, validation, opened)
    how = refine_recipe(recipe)
    trained = fit(task, how, out / STAGE, limits, report)
    if not (trained.finished and trained.main):
        return None
    network: DenseNetwork = trained.model  # type: ignore[assignment]
    first = opened.with_heads(network.heads)
    before = first.card.training if first else None
    made = TrainedHeads(network, STAGE, how, "tomogram", trained.hours, trained.steps, opened, before)
    return export_dense(out / "weights", made, recipe, source, validation, report)
