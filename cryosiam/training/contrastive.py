"""Contrastive learning of species (thesis section 3.2.3, equations 17 and 18), with negatives matched in size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.errors import InputError
from cryosiam.training.augment.subtomograms import ParticleViewRecipe, random_particle_view
from cryosiam.training.embedding import neighbour_validation
from cryosiam.training.particles import HELD_OUT_ONE_IN
from cryosiam.training.subtomogram_export import write_network
from cryosiam.training.task import TrainingTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.networks.subtomogram import SubtomogramNetwork
    from cryosiam.training.limits import Limits
    from cryosiam.training.particles import Particles
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.task import Batch
    from cryosiam.weights import Training, WeightsCard

STAGE: Final = "contrastive"

SPECIES_PER_GROUP: Final = 4
PARTICLES_PER_SPECIES: Final = 4
"""A batch is made of groups: particles of some species alike in size, which are each other's negatives."""

SIZE_NEIGHBOURS: Final = 6
"""Species that may be in a group with another: so many nearest ones in size."""

VIEWS: Final = ParticleViewRecipe(shift_share=1 / 16, crop_share=0.0, grey=None)
"""Any rotation and a small shift; grey values stay, because real differences between images are in the particles."""

_SMALLEST_BATCH: Final = 4
_LOGIT_SCALE: Final = 10.0
_SMOOTHING: Final = 0.05


@dataclass(frozen=True)
class Objective:
    """What the network learns by.

    Parameters
    ----------
    margin
        Distance that embeddings of different species are to have.
    pairs
        Weight of the contrastive loss of pairs (equation 17).
    names
        Weight of a cosine classifier's cross-entropy, which tells each species from all others.
    """

    margin: float = 1.0
    pairs: float = 1.0
    names: float = 1.0


SHIPPED: Final = Objective()


class NamingModel(nn.Module):
    """Subtomogram network with a prototype of each species, which are for training only.

    Parameters
    ----------
    network
        The network.
    classes
        Number of species.
    """

    def __init__(self, network: SubtomogramNetwork, classes: int) -> None:
        super().__init__()
        self.network = network
        self.prototypes = nn.Parameter(torch.randn(classes, network.config.embedding_channels))

    def forward(self, cubes: Tensor) -> Tensor:
        """Return unit embeddings ``(b, d)`` of cubes ``(b, 1, box, box, box)``."""
        return self.network(cubes)  # type: ignore[no-any-return]

    def logits(self, embeddings: Tensor) -> Tensor:
        """Return ``(b, classes)``: scaled cosines of embeddings and prototypes."""
        return _LOGIT_SCALE * embeddings @ F.normalize(self.prototypes, dim=1).T


def contrastive_loss(first: Tensor, second: Tensor, same: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of each pair of embeddings (equations 17 and 18).

    Parameters
    ----------
    first, second
        ``(n, d)`` embeddings.
    same
        ``(n,)`` bool, y of the equation: both are of one species.
    margin
        Distance beyond which different ones cost nothing.

    Returns
    -------
    Tensor
        ``(n,)``.
    """
    squared = (first.float() - second.float()).square().sum(dim=1)
    # The root has no gradient at 0.
    distance = squared.clamp_min(1e-12).sqrt()
    return torch.where(same, squared, F.relu(margin - distance).square())


def pairs_in_groups(label: Tensor, group: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs of a batch: all of one species, and those of different species in one group.

    Parameters
    ----------
    label, group
        ``(b,)`` species and group of each particle.

    Returns
    -------
    tuple
        Indices of the first and second of each pair, and whether they are of one species.
    """
    first, second = torch.triu_indices(len(label), len(label), offset=1, device=label.device)
    same = label[first] == label[second]
    kept = same | (group[first] == group[second])
    return first[kept], second[kept], same[kept]


def contrastive(
    recipe: Recipe,
    particles: Particles,
    out: Path,
    limits: Limits,
    report: Callable[[str], None],
    start: SubtomogramNetwork,
    objective: Objective = SHIPPED,
    before: Training | None = None,
) -> WeightsCard | None:
    """Teach a pretrained subtomogram network to tell species apart.

    Parameters
    ----------
    recipe
        Gives the optimiser.
    particles
        What is learnt from, but for those of one specimen in `HELD_OUT_ONE_IN`; those without a name are left out.
    out
        Checkpoints and log go to its folder ``contrastive``, weights to ``weights``.
    limits
        When to stop.
    report
        Told how training goes.
    start
        Network to begin with, as `pretrain_subtomogram` makes it; it changes.
    objective
        What it learns by.
    before
        How that network was trained, for the card.

    Returns
    -------
    WeightsCard or None
        Card of the weights, which embed and do not name; None if time ran out before the last step.

    Raises
    ------
    InputError
        If there are fewer than two species.
    TrainingError
        If the loss stops being a finite number.
    """
    from cryosiam.training.fit import fit

    optimiser = recipe.contrastive
    learnt, held_out = particles.split(HELD_OUT_ONE_IN)
    task = contrastive_task(start, learnt, held_out, optimiser.batch, optimiser.seed, objective)
    trained = fit(task, optimiser, out / STAGE, limits, report)
    if not (trained.finished and trained.main):
        return None
    network = network_of(trained.model)
    return write_network(out / "weights", network, recipe, particles, STAGE, optimiser, trained.hours, before)


def network_of(model: nn.Module) -> SubtomogramNetwork:
    """Return the network inside the model that learns species."""
    return cast("NamingModel", model).network


def contrastive_task(
    start: SubtomogramNetwork,
    learnt: Particles,
    held_out: Particles,
    batch: int,
    seed: int,
    objective: Objective = SHIPPED,
) -> TrainingTask:
    """Return the task of contrastive learning; parameters as for `contrastive`."""
    learnt = learnt.named
    if len(learnt.species) < 2:
        raise InputError(f"species can be told apart only where there are two or more, not {len(learnt.species)}")
    torch.manual_seed(seed)
    model = NamingModel(start.train(), len(learnt.species))

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return objective_losses(cast("NamingModel", model), batch, objective)

    return TrainingTask(
        name=STAGE,
        model=model.to(memory_format=torch.channels_last_3d),  # type: ignore[call-overload]
        batches=SizeMatched(learnt, batch, seed),
        losses=losses,
        validate=neighbour_validation(held_out, network_of),
        # In bfloat16 the gradients of this small network were not finite now and then on a CPU.
        half_precision=False,
    )


def objective_losses(model: NamingModel, batch: Batch, objective: Objective) -> dict[str, Tensor]:
    """Return the losses of a batch of `SizeMatched`; like and unlike pairs weigh the same, however many there are."""
    embeddings = model(batch["view"])
    first, second, same = pairs_in_groups(batch["label"], batch["group"])
    each = contrastive_loss(embeddings[first], embeddings[second], same, objective.margin)
    values = {
        "positive": each[same].mean() if same.any() else each.sum() * 0,
        "negative": each[~same].mean() if (~same).any() else each.sum() * 0,
        "names": F.cross_entropy(model.logits(embeddings), batch["label"], label_smoothing=_SMOOTHING),
    }
    values["total"] = (
        objective.pairs * 0.5 * (values["positive"] + values["negative"]) + objective.names * values["names"]
    )
    return values


class SizeMatched:
    """Batches of groups of species alike in size; batch ``n`` depends on the seed and on ``n`` alone.

    Every group begins with a species drawn evenly of all, so that rare ones are met as often as common ones; the others
    are of those nearest to it in mass, or in size where a mass is not known.

    Parameters
    ----------
    particles
        Those with a name.
    batch
        Particles in a batch, 4 or more; those that fill no group are left out.
    seed
        Of species, particles and views.

    Raises
    ------
    InputError
        If the batch is too small.
    """

    def __init__(self, particles: Particles, batch: int, seed: int) -> None:
        if batch < _SMALLEST_BATCH:
            raise InputError(f"contrastive learning compares pairs: give it batches of {_SMALLEST_BATCH} or more")
        self._together = min(SPECIES_PER_GROUP, len(particles.species), batch // 2)
        self._of_each = min(PARTICLES_PER_SPECIES, batch // self._together)
        self._particles, self._batch, self._seed = particles, batch, seed
        label = {name: number for number, name in enumerate(particles.species)}
        self._labels = np.array([label[name] for name in particles.names], np.int64)
        self._members = [np.flatnonzero(self._labels == number) for number in range(len(label))]
        self._alike = size_neighbours(species_sizes(particles))

    def __call__(self, number: int) -> Batch:
        """Return ``view`` ``(b, 1, box, box, box)`` float32, and ``label`` and ``group`` ``(b,)`` int64."""
        rng = np.random.default_rng([self._seed, number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        size = self._together * self._of_each
        groups = [self._group(rng) for _ in range(self._batch // size)]
        index = np.concatenate(groups)
        return {
            "view": random_particle_view(self._particles.cubes(index), generator, VIEWS),
            "label": torch.from_numpy(self._labels[index]),
            "group": torch.arange(len(groups)).repeat_interleave(size),
        }

    def _group(self, rng: np.random.Generator) -> NDArray[np.int64]:
        anchor = int(rng.integers(len(self._members)))
        others = rng.permutation(self._alike[anchor])[: self._together - 1]
        chosen = [rng.choice(self._members[one], self._of_each) for one in (anchor, *others)]
        return np.concatenate(chosen)


def species_sizes(particles: Particles) -> NDArray[np.float64]:
    """Return a size of every species: its mass where all are known, else the median size of what was found of it."""
    masses = [particles.masses_kda.get(name, 0.0) for name in particles.species]
    if all(mass > 0 for mass in masses):
        return np.array(masses, np.float64)
    names = np.array(particles.names, dtype=str)
    return np.array([np.median(particles.voxels[names == name]) for name in particles.species], np.float64)


def size_neighbours(sizes: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return, for each species, those nearest to it in size by ratio, itself left out."""
    apart = np.abs(np.log(sizes)[:, None] - np.log(sizes)[None])
    np.fill_diagonal(apart, -1)
    return [row[1 : SIZE_NEIGHBOURS + 1] for row in np.argsort(apart, axis=1, kind="stable")]
