"""The whole recipe in small: simulate, train, measure, export, load."""

from pathlib import Path

import numpy as np
import pytest

from cryosiam.simulation.shapes import builtin_shape, builtin_species
from cryosiam.simulation.spec import SpeciesSpec
from cryosiam.training.dense import train_dense
from cryosiam.training.export import export_dense, export_subtomogram
from cryosiam.training.recipe import OptimiserRecipe, Recipe, SceneRecipe
from cryosiam.training.scenes import make_scenes
from cryosiam.training.subtomogram import Crops, train_subtomogram
from cryosiam.weights import load_dense, load_subtomogram

TINY = OptimiserRecipe(steps=2, batch=8, learning_rate=0.001, warmup_steps=1)
RECIPE = Recipe(
    name="light",
    voxel_size_angstrom=10.0,
    scenes=SceneRecipe(shape_zyx=(48, 80, 80), train_seeds=(1, 1), validation_seeds=(2, 3)),
    patch_zyx=(32, 48, 48),
    dense=TINY.model_copy(update={"batch": 1}),
    pretraining=TINY,
    subtomogram=TINY,
)


def silent(*_: object) -> None:
    """Report nothing."""


@pytest.mark.slow
def test_dense_recipe_end_to_end(tmp_path: Path) -> None:
    species = {one.name: one for one in builtin_species(10.0)}
    recipes = [SpeciesSpec(name=name, source=f"builtin:{name}") for name in species]
    species["nucleosome"] = builtin_shape("nucleosome", 10.0)
    scenes = make_scenes(tmp_path / "scenes", (1, 2, 3), RECIPE.scenes.shape_zyx, recipes, species)
    before = (scenes[0].folder / "noisy.npy").stat().st_mtime_ns
    make_scenes(tmp_path / "scenes", (1,), RECIPE.scenes.shape_zyx, recipes, {})
    assert (scenes[0].folder / "noisy.npy").stat().st_mtime_ns == before
    network, hours = train_dense(RECIPE, scenes[:1], tmp_path / "dense", silent)
    radii = {name: one.radius_angstrom for name, one in species.items()}
    # Two steps learn nothing to calibrate scores on; the export says so, and the weights are written all the same.
    with pytest.raises(ValueError, match="calibration needs true and false instances"):
        export_dense(tmp_path / "weights", network, RECIPE, scenes[1:], radii, hours)
    assert load_dense(tmp_path / "weights").card.voxel_size_angstrom == 10.0


@pytest.mark.slow
def test_subtomogram_recipe_end_to_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["a"] * 20 + ["b"] * 20 + [""] * 5
    values = rng.normal(0, 0.1, (45, 32, 32, 32)).astype(np.float16)
    values[:20, 12:20, 12:20, 12:20] -= 1
    values[20:40, 14:18, 14:18, 4:28] -= 1
    crops = Crops(values, tuple(names))
    network, hours = train_subtomogram(RECIPE, crops, tmp_path / "run", lambda _steps: silent)
    card = export_subtomogram(tmp_path / "weights", network, RECIPE, crops, crops, hours)
    assert card.species == ("a", "b")
    assert card.accuracy["top1_accuracy"] > 0.8
    loaded = load_subtomogram(tmp_path / "weights")
    assert set(loaded.classifier) == {"weight", "bias", "temperature", "threshold"}
