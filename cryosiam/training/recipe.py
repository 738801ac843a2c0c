"""Training recipes: everything that makes a set of weights, in one file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryosiam.errors import InputError


class ValidationRecipe(BaseModel):
    """Tomograms of the preset ``training`` that no network learns from, simulated on the exact path.

    Attributes
    ----------
    shape_zyx
        Size of each in voxels.
    seeds
        First and last seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape_zyx: tuple[int, int, int]
    seeds: tuple[int, int]


class SpecimenGroup(BaseModel):
    """Specimens of one kind to learn from.

    Attributes
    ----------
    preset
        Recipe of the simulator, as `cryosiam simulate presets` lists them; its field is cut down to ``shape_zyx``, and
        counts in it to the smaller area. Of ``training``, specimen and microscope are drawn from wider ranges.
    seeds
        First and last seed.
    shape_zyx
        Size of each specimen in voxels.
    share
        How often the group is drawn, against the other groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    seeds: tuple[int, int]
    shape_zyx: tuple[int, int, int]
    share: float = Field(gt=0)


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
        Voxel size of specimens and weights.
    specimens
        What networks learn from, imaged anew all the time.
    clear
        Share of tomograms shown as a denoiser would show them, so that denoised input is understood too.
    validation
        What they are measured on.
    patch_zyx
        Training patch of the dense network in voxels.
    pretrain_dense, dense
        Optimisers of DenseSimSiam pretraining and of the task heads.
    particles
        How many particles the subtomogram network learns from.
    pretrain_subtomogram, contrastive
        Optimisers of SimSiam pretraining and of contrastive learning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    voxel_size_angstrom: float = Field(gt=0)
    specimens: tuple[SpecimenGroup, ...] = Field(min_length=1)
    clear: float = Field(default=0.15, ge=0, le=1)
    validation: ValidationRecipe
    patch_zyx: tuple[int, int, int]
    pretrain_dense: OptimiserRecipe
    dense: OptimiserRecipe
    particles: int = Field(gt=0)
    pretrain_subtomogram: OptimiserRecipe
    contrastive: OptimiserRecipe


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
