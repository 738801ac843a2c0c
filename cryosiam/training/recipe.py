"""Training recipes: everything that makes a set of weights, in one file."""

from __future__ import annotations

from importlib.resources import files
from itertools import chain, combinations
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from cryosiam.errors import InputError
from cryosiam.training.two_views import SelfSupervision


def _in_order(seeds: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= seeds[0] <= seeds[1]:
        raise ValueError(f"{seeds[0]} to {seeds[1]} are no seeds: give the first and the last, from 0 up")
    return seeds


Seeds = Annotated[tuple[int, int], AfterValidator(_in_order)]
"""First and last seed."""

SizeZYX = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Size in voxels along z, y, x."""


def _square(size_zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    if size_zyx[1] != size_zyx[2]:
        raise ValueError(f"patches are turned about z: make y and x equal, not {size_zyx[1]}, {size_zyx[2]}")
    return size_zyx


class PresetSeeds(BaseModel):
    """Specimens of one kind.

    Attributes
    ----------
    preset
        Recipe of the simulator, as `cryosiam simulate presets` lists them; its field is cut down to ``shape_zyx``, and
        counts in it to the smaller area. Of ``training``, specimen and microscope are drawn from wider ranges.
    seeds
        First and last seed.
    shape_zyx
        Size of each specimen in voxels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    seeds: Seeds
    shape_zyx: SizeZYX


class ValidationRecipe(BaseModel):
    """Tomograms that no network learns from, simulated on the exact path.

    Attributes
    ----------
    shape_zyx
        Size of those of the preset ``training``, in voxels.
    seeds
        First and last seed of those.
    others
        Those of other presets, so that scores are probabilities for samples of every kind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape_zyx: SizeZYX
    seeds: Seeds
    others: tuple[PresetSeeds, ...] = ()


class SpecimenGroup(PresetSeeds):
    """Specimens of one kind to learn from.

    Attributes
    ----------
    share
        How often the group is drawn, against the other groups.
    """

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

    steps: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    warmup_steps: int = Field(default=100, ge=0)
    average_decay: float = Field(default=0.998, ge=0, lt=1)
    seed: int = Field(default=1, ge=0)


class RefineRecipe(OptimiserRecipe):
    """How a trained dense network learns on.

    Attributes
    ----------
    clear
        Share of tomograms shown without a microscope.
    denoised
        Share of tomograms shown as the network's own denoiser gives them.
    specimens
        What it learns on from; where there are none, the recipe's.
    kept
        Share of the old weights in the new: the network is the mean of both, weighted so (Wortsman et al. 2022,
        arXiv:2109.01903). What it could do before is kept, and most of what it learnt comes along.
    """

    clear: float = Field(default=0.25, ge=0, le=1)
    denoised: float = Field(default=0.2, ge=0, le=1)
    specimens: tuple[SpecimenGroup, ...] = ()
    kept: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_noisy_ones(self) -> RefineRecipe:
        if self.clear + self.denoised > 1:
            raise ValueError(f"clear and denoised are shares and sum to {self.clear + self.denoised:g}: at most 1")
        return self


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
    dice
        Dice loss of the semantic head: the mean over the classes, or the generalized one of the thesis (eq. 10).
    pretrain_dense, dense
        Optimisers of DenseSimSiam pretraining and of the task heads.
    refine, rebalance, broaden
        How the dense network learns on once it is trained, one after the other; None: not at all.
    self_supervision
        Views and losses of DenseSimSiam pretraining.
    particles
        How many named particles the subtomogram network learns from at most, evenly of all species where there are
        enough of each.
    pretrain_subtomogram, contrastive
        Optimisers of SimSiam pretraining and of contrastive learning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    voxel_size_angstrom: float = Field(gt=0)
    specimens: tuple[SpecimenGroup, ...] = Field(min_length=1)
    clear: float = Field(default=0.15, ge=0, le=1)
    validation: ValidationRecipe
    patch_zyx: Annotated[SizeZYX, AfterValidator(_square)]
    dice: Literal["mean", "generalized"] = "mean"
    pretrain_dense: OptimiserRecipe
    dense: OptimiserRecipe
    refine: RefineRecipe | None = None
    rebalance: RefineRecipe | None = None
    broaden: RefineRecipe | None = None
    self_supervision: SelfSupervision = SelfSupervision()
    particles: int = Field(gt=0)
    pretrain_subtomogram: OptimiserRecipe
    contrastive: OptimiserRecipe

    @model_validator(mode="after")
    def _gives_each_seed_one_size(self) -> Recipe:
        further = (how.specimens for how in (self.refine, self.rebalance, self.broaden) if how is not None)
        for one, other in combinations(chain(self.specimens, *further), 2):
            overlap = one.seeds[0] <= other.seeds[1] and other.seeds[0] <= one.seeds[1]
            if one.preset == other.preset and overlap and one.shape_zyx != other.shape_zyx:
                raise ValueError(
                    f"specimens of '{one.preset}' share seeds but not sizes, {list(one.shape_zyx)} and "
                    f"{list(other.shape_zyx)}: give one of them other seeds"
                )
        return self


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
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise InputError(f"{path} is not a training recipe: {_first_fault(error)}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a training recipe: it is not text") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not a training recipe: {' '.join(str(error).split())}") from None


def _first_fault(error: ValidationError) -> str:
    """Return what is wrong and where, of the first fault found."""
    first, count = error.errors()[0], error.error_count()
    said = first["msg"].removeprefix("Value error, ").lower()
    if not first["loc"]:
        return said if first["type"] == "value_error" else "it holds no entries"
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        said = "there is no such entry"
    return f"{where}: {said}" + (f" (and {count - 1} faults more)" if count > 1 else "")
