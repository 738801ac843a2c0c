"""Training recipes: everything that makes a set of weights, in one file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cryosiam.errors import InputError


class SceneRecipe(BaseModel):
    """Simulated scenes.

    Attributes
    ----------
    shape_zyx
        Size of each scene in voxels of 10 Å.
    train_seeds, validation_seeds
        First and last seed of each set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape_zyx: tuple[int, int, int]
    train_seeds: tuple[int, int]
    validation_seeds: tuple[int, int]


class OptimiserRecipe(BaseModel):
    """AdamW with a linear warm-up and a cosine to zero, and an exponential average of the weights.

    Attributes
    ----------
    steps, batch, learning_rate, weight_decay, warmup_steps, average_decay
        As named; ``average_decay`` is per step.
    seed
        Seed of initial weights and of patches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    average_decay: float = 0.998
    seed: int = 1


class Recipe(BaseModel):
    """Recipe of one set of weights.

    Attributes
    ----------
    name
        Name of the weights; also the name of the network presets.
    voxel_size_angstrom
        Voxel size of scenes and weights.
    scenes
        Simulated data.
    patch_zyx
        Training patch of the dense network in voxels.
    dense
        Optimiser of the dense network.
    pretraining, subtomogram
        Optimiser of SimSiam pretraining and of the species head that follows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    voxel_size_angstrom: float
    scenes: SceneRecipe
    patch_zyx: tuple[int, int, int]
    dense: OptimiserRecipe
    pretraining: OptimiserRecipe
    subtomogram: OptimiserRecipe


def read_recipe(spec: str | Path) -> Recipe:
    """Read a recipe by file, or by the name of one that ships.

    Raises
    ------
    InputError
        If it is missing or holds something unknown.
    """
    path = Path(spec)
    if not path.is_file():
        path = Path(str(files("cryosiam.training.recipes") / f"{spec}.yaml"))
    if not path.is_file():
        raise InputError(f"no training recipe at '{spec}': give a YAML file, or the name 'light'")
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise InputError(f"{path} is not a training recipe: {str(error).splitlines()[0]}") from None
