"""Self-supervised pretraining of the subtomogram network: SimSiam on two views (thesis section 3.1, eq. 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch

from cryosiam.errors import InputError
from cryosiam.networks.config import SUBTOMOGRAM_PRESETS
from cryosiam.networks.simsiam import SimSiam
from cryosiam.training.augment.subtomograms import random_particle_view
from cryosiam.training.embedding import neighbour_validation
from cryosiam.training.particles import HELD_OUT_ONE_IN
from cryosiam.training.subtomogram_export import write_network
from cryosiam.training.task import TrainingTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from cryosiam.networks.config import SubtomogramConfig
    from cryosiam.networks.subtomogram import SubtomogramNetwork
    from cryosiam.training.limits import Limits
    from cryosiam.training.particles import Particles
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.task import Batch
    from cryosiam.weights import WeightsCard

STAGE: Final = "pretrain-subtomogram"


def pretrain_subtomogram(
    recipe: Recipe, particles: Particles, out: Path, limits: Limits, report: Callable[[str], None]
) -> WeightsCard | None:
    """Pretrain the subtomogram network of a recipe without names.

    Parameters
    ----------
    recipe
        Names the network preset; gives the optimiser.
    particles
        What is learnt from, but for those of one specimen in `HELD_OUT_ONE_IN`. Their names are used to watch only.
    out
        Checkpoints and log go to its folder ``pretrain-subtomogram``, weights to ``weights``.
    limits
        When to stop.
    report
        Told how training goes.

    Returns
    -------
    WeightsCard or None
        Card of the weights, which embed and do not name; None if time ran out before the last step.

    Raises
    ------
    InputError
        If the recipe names no network, or there are fewer particles than a batch wants.
    TrainingError
        If embeddings collapse, or the loss stops being a finite number.
    """
    from cryosiam.training.fit import fit

    optimiser = recipe.pretrain_subtomogram
    learnt, held_out = particles.split(HELD_OUT_ONE_IN)
    task = pretraining_task(network_preset(recipe.name), learnt, held_out, optimiser.batch, optimiser.seed)
    trained = fit(task, optimiser, out / STAGE, limits, report)
    if not (trained.finished and trained.main):
        return None
    return write_network(out / "weights", network_of(trained.model), recipe, particles, STAGE, optimiser, trained.hours)


def network_preset(name: str) -> SubtomogramConfig:
    """Return the shape of the subtomogram network by the name of a recipe; InputError where there is none."""
    if name not in SUBTOMOGRAM_PRESETS:
        raise InputError(f"recipe '{name}' names no network; give it one of {', '.join(SUBTOMOGRAM_PRESETS)}")
    return SUBTOMOGRAM_PRESETS[name]


def network_of(model: nn.Module) -> SubtomogramNetwork:
    """Return the network inside the model of SimSiam."""
    return cast("SimSiam", model).network


def pretraining_task(
    config: SubtomogramConfig, learnt: Particles, held_out: Particles, batch: int, seed: int
) -> TrainingTask:
    """Return the task of pretraining a subtomogram network.

    Parameters
    ----------
    config
        Shape of the network.
    learnt, held_out
        Particles to learn from, and others to watch it by.
    batch
        Pairs of views in a batch.
    seed
        Of initial weights, particles and views.

    Raises
    ------
    InputError
        If there are no particles, or a batch has fewer than two.
    """
    if not len(learnt) or batch < 2:
        raise InputError(f"pretraining compares particles: {len(learnt)} are there, in batches of {batch}; two or more")
    torch.manual_seed(seed)

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"total": model(batch["view1"], batch["view2"])}

    return TrainingTask(
        name=STAGE,
        model=SimSiam(config).to(memory_format=torch.channels_last_3d),  # type: ignore[call-overload]
        batches=ViewPairs(learnt, batch, seed),
        losses=losses,
        embeddings=lambda model, batch: network_of(model)(batch["view1"]),
        validate=neighbour_validation(held_out, network_of),
        # In bfloat16 the gradients of this small network were not finite now and then on a CPU.
        half_precision=False,
    )


@dataclass(frozen=True)
class ViewPairs:
    """Batches of two views of each particle; batch ``n`` depends on the seed and on ``n`` alone.

    Where a particle was found in several images of its specimen, the two views may be of different images: what one
    microscope shows and another does not is nothing to tell particles apart by.

    Parameters
    ----------
    particles
        What is viewed.
    batch
        Pairs in a batch.
    seed
        Of particles and views.
    """

    particles: Particles
    batch: int
    seed: int

    def __call__(self, number: int) -> Batch:
        """Return ``view1`` and ``view2``, ``(b, 1, box, box, box)`` float32."""
        rng = np.random.default_rng([self.seed, number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        first = rng.integers(len(self.particles), size=self.batch)
        second = np.array([rng.choice(self.particles.seen_again[index]) for index in first])
        return {
            "view1": random_particle_view(self.particles.cubes(first), generator),
            "view2": random_particle_view(self.particles.cubes(second), generator),
        }
