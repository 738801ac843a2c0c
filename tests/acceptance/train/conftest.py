"""Folders to train in: specimens and held-out tomograms that are made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .training_run import RECIPE, write_recipe


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache and weights out of the tests, and spare the processor."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYOSIAM_WEIGHTS", str(tmp_path / "own-weights"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with specimens and held-out tomograms of simple shapes, so that no structure is looked for."""
    from cryosiam.simulation.shapes import builtin_shape, builtin_species
    from cryosiam.simulation.spec import SpeciesSpec
    from cryosiam.training.data import simulated_source
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import make_scenes

    out = tmp_path_factory.mktemp("train")
    recipe = Recipe.model_validate(RECIPE)
    simulated_source(out / "specimens", out, recipe, lambda _: None)
    species = {one.name: one for one in builtin_species(10.0)}
    packed = [SpeciesSpec(name=name, source=f"builtin:{name}") for name in species]
    species["nucleosome"] = builtin_shape("nucleosome", 10.0)
    first, last = recipe.validation.seeds
    make_scenes(out / "validation", range(first, last + 1), recipe.validation.shape_zyx, packed, species)
    return out


@pytest.fixture
def out(prepared: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to train in."""
    return shutil.copytree(prepared, tmp_path / "out")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path)
