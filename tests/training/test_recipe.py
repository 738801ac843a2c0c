"""Recipes by name and file."""

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
