"""The particles and scenes a recipe trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.training.scenes import Scene, make_scenes

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.simulation.spec import SpeciesSpec
    from cryosiam.simulation.species import Species
    from cryosiam.training.recipe import Recipe


def recipe_species(data: Path, recipe: Recipe) -> dict[str, Species]:
    """Return the species of the preset ``training`` by name: structures and maps in ``data``, and built-in shapes."""
    from cryosiam.simulation.sources import load_all

    return load_all(training_species(), recipe.voxel_size_angstrom, structures_dir=data)


def training_species() -> tuple[SpeciesSpec, ...]:
    """Return the recipes of the species that training packs."""
    from cryosiam.simulation.spec import read_spec

    return read_spec("training").specimen.species


def recipe_scenes(folder: Path, data: Path, recipe: Recipe) -> tuple[list[Scene], list[Scene]]:
    """Return training and validation scenes, simulating those that ``folder`` does not hold yet."""
    sets = []
    missing = [
        seed
        for first, last in (recipe.scenes.train_seeds, recipe.scenes.validation_seeds)
        for seed in range(first, last + 1)
        if not (folder / f"{seed:05d}").exists()
    ]
    species = recipe_species(data, recipe) if missing else {}
    for first, last in (recipe.scenes.train_seeds, recipe.scenes.validation_seeds):
        seeds = range(first, last + 1)
        sets.append(make_scenes(folder, seeds, recipe.scenes.shape_zyx, training_species(), species))
    return sets[0], sets[1]
