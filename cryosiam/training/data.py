"""The particles and scenes a recipe trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.training.scenes import Scene, make_scenes

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.simulation import Species
    from cryosiam.training.recipe import Recipe


def recipe_species(data: Path, recipe: Recipe) -> list[Species]:
    """Return the species to pack: real structures and maps in ``data``, and the built-in shapes."""
    from cryosiam.simulation import builtin_species, training_species

    voxel_size = recipe.voxel_size_angstrom
    return [*training_species(data, voxel_size).values(), *builtin_species(voxel_size)]


def recipe_scenes(folder: Path, data: Path, recipe: Recipe) -> tuple[list[Scene], list[Scene]]:
    """Return training and validation scenes, simulating those that ``folder`` does not hold yet."""
    sets = []
    missing = [
        seed
        for first, last in (recipe.scenes.train_seeds, recipe.scenes.validation_seeds)
        for seed in range(first, last + 1)
        if not (folder / f"{seed:05d}").exists()
    ]
    species = recipe_species(data, recipe) if missing else []
    for first, last in (recipe.scenes.train_seeds, recipe.scenes.validation_seeds):
        sets.append(make_scenes(folder, range(first, last + 1), recipe.scenes.shape_zyx, species))
    return sets[0], sets[1]
