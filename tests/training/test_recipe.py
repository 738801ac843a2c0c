"""Recipes by name and file."""

from importlib.resources import files
from pathlib import Path

import pytest

from cryosiam.errors import InputError
from cryosiam.training.recipe import read_recipe


def test_recipes_by_name_and_file(tmp_path: Path) -> None:
    assert read_recipe("light").voxel_size_angstrom == 10.0
    with pytest.raises(InputError, match="no training recipe"):
        read_recipe(tmp_path / "none.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: x\nsurprise: 1\n")
    with pytest.raises(InputError, match="not a training recipe"):
        read_recipe(wrong)


def test_patches_that_cannot_be_turned_are_refused(tmp_path: Path) -> None:
    shipped = files("cryosiam.training").joinpath("recipes", "light.yaml").read_text()
    recipe = tmp_path / "oblong.yaml"
    recipe.write_text(shipped.replace("patch_zyx: [64, 96, 96]", "patch_zyx: [64, 96, 64]"))
    with pytest.raises(InputError, match=r"patch_zyx.*make y and x equal, not 96, 64"):
        read_recipe(recipe)
