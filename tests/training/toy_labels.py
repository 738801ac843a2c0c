"""A small tomogram with dark balls and a dark sheet in noise, and labels of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosiam.domain import ArrayVolume, Contrast, Picks, Tomogram
from cryosiam.evaluation.project import GridVolume
from cryosiam.training.labelled_scenes import LabelledTomogram, LabelVolume
from cryosiam.training.recipe import OptimiserRecipe, Recipe, SpecimenGroup, ValidationRecipe

VOXEL = 10.0
SHAPE = (24, 40, 48)
RADIUS = 50.0
CENTRES = np.array([[8.0, 10.0, 12.0], [14.0, 28.0, 20.0], [10.0, 20.0, 36.0]])
OPTIMISER = OptimiserRecipe(steps=2, batch=2, learning_rate=0.003, warmup_steps=1, average_decay=0.9)
RECIPE = Recipe(
    name="light",
    voxel_size_angstrom=VOXEL,
    specimens=(SpecimenGroup(preset="demo", seeds=(1, 1), shape_zyx=SHAPE, share=1.0),),
    validation=ValidationRecipe(shape_zyx=SHAPE, seeds=(2, 2)),
    patch_zyx=(16, 32, 32),
    pretrain_dense=OPTIMISER,
    dense=OPTIMISER,
    particles=1,
    pretrain_subtomogram=OPTIMISER,
    contrastive=OPTIMISER,
)


def balls() -> NDArray[np.int32]:
    """Return the instance of each voxel."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    instances = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, start=1):
        instances[((grid - centre) ** 2).sum(axis=-1) <= (RADIUS / VOXEL) ** 2] = number
    return instances


def sheet() -> NDArray[np.uint8]:
    """Return the mask of a membrane."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, :, 2:4] = 1
    return mask


def clean() -> NDArray[np.float32]:
    """Return the volume without noise: solvent 0, protein -1."""
    return -((balls() > 0) | (sheet() > 0)).astype(np.float32)


def picks() -> Picks:
    """Return the balls as picks."""
    return Picks(
        "toy",
        positions_angstrom=CENTRES[:, ::-1] * VOXEL,
        scores=np.ones(len(CENTRES)),
        class_names=("ribosome", "ribosome", "proteasome"),
        radii_angstrom=np.full(len(CENTRES), RADIUS),
    )


def grid_of(array: NDArray[Any], voxel: float = VOXEL) -> GridVolume:
    """Return an array as volume on its grid."""
    return GridVolume(ArrayVolume(array), voxel, "labels.zarr")


def labelled(run: str = "toy", seed: int = 0, **changes: Any) -> LabelledTomogram:
    """Return the tomogram with all labels, or with changes."""
    noise = np.random.default_rng(seed).normal(0, 0.3, SHAPE)
    tomogram = Tomogram(run, ArrayVolume((clean() + noise).astype(np.float32)), VOXEL, "wbp", f"{run}.zarr")
    sample = np.ones(SHAPE, np.uint8)
    sample[:3] = sample[-3:] = 0
    given: dict[str, Any] = {
        "tomogram": tomogram,
        "contrast": Contrast.DARK,
        "volumes": (
            LabelVolume("particle", grid_of(balls()), instances=True),
            LabelVolume("membrane", grid_of(sheet())),
        ),
        "picks": picks(),
        "sample": grid_of(sample),
        "clean": grid_of(clean()),
    }
    return LabelledTomogram(**given | changes)


def silent(_: str) -> None:
    """Report nothing."""
