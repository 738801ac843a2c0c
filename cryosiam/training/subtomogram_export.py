"""Trained subtomogram networks turned into weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryosiam.domain import Contrast
from cryosiam.identification.crops import crops_for
from cryosiam.training.history import after, machine
from cryosiam.weights import Task, Training, WeightsCard, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cryosiam.networks.subtomogram import SubtomogramNetwork
    from cryosiam.training.particles import Particles
    from cryosiam.training.recipe import OptimiserRecipe, Recipe


def write_network(
    out: Path,
    network: SubtomogramNetwork,
    recipe: Recipe,
    particles: Particles,
    stage: str,
    optimiser: OptimiserRecipe,
    hours: float,
    before: Training | None = None,
) -> WeightsCard:
    """Write a subtomogram network that embeds and does not name.

    Parameters
    ----------
    out
        Folder of the weights.
    network
        The network.
    recipe, particles
        What it was trained by and from.
    stage
        Stage of training.
    optimiser
        Of that stage.
    hours
        Time spent on it.
    before
        How the network was trained before that stage.
    """
    own = Training(
        recipe=f"cryosiam train {stage} --recipe {recipe.name}",
        data=particles_in_words(particles, recipe),
        parameters={stage: optimiser.model_dump()},
        hours=round(hours, 2),
        machine=machine(),
    )
    return save_weights(out, network.cpu().eval(), _card(recipe, network, after(before, own)))


def write_with_names(
    out: Path,
    network: SubtomogramNetwork,
    before: WeightsCard,
    species: tuple[str, ...],
    arrays: Mapping[str, NDArray[np.float32]],
    accuracy: Mapping[str, float],
) -> WeightsCard:
    """Write a subtomogram network with its classifier.

    Parameters
    ----------
    out
        Folder of the weights.
    network
        The network.
    before
        Card it had without the classifier.
    species, arrays
        Names that the classifier knows, and what it consists of.
    accuracy
        Measured figures.
    """
    card = {name: getattr(before, name) for name in WeightsCard.model_fields if name != "sha256"}
    return save_weights(out, network, {**card, "species": species, "accuracy": dict(accuracy)}, arrays)


def _card(recipe: Recipe, network: SubtomogramNetwork, training: Training) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "task": Task.SUBTOMOGRAM,
        "network": network.config,
        "voxel_size_angstrom": recipe.voxel_size_angstrom,
        "contrast": Contrast.DARK,
        "crops": crops_for(network.config.encoder.input_channels),
        "training": training,
    }


def particles_in_words(particles: Particles, recipe: Recipe) -> str:
    """Return what a network learnt from, in words."""
    specimens = f"{len(set(particles.sources))} simulated specimens of {recipe.voxel_size_angstrom:g} Å voxels"
    return (
        f"{len(particles)} particles that the dense weights found in {specimens}, {len(particles.named)} of them of "
        f"{len(particles.species)} species"
    )
