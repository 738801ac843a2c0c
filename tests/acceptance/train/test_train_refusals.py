"""The installed ``cryosiam train`` lists its recipes and says one sentence on what it cannot train."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .training_run import RECIPE, assert_refused, contents, write_recipe


def test_recipes_are_listed_and_printed(call: Any, tmp_path: Path) -> None:
    listed = call("train", "recipes")
    assert listed.returncode == 0
    assert any(line.startswith("light") for line in listed.stdout.splitlines())
    printed = call("train", "recipes", "light")
    (tmp_path / "mine.yaml").write_text(printed.stdout)
    assert yaml.safe_load(printed.stdout)["name"] == "light"
    assert_refused(call("train", "recipes", "heavy"), "heavy", "light")


LARGER = {"preset": "demo", "seeds": [2, 5], "shape_zyx": [80, 96, 96], "share": 1.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, ["colour", "no such entry"]),
        ({"dense": {"steps": "many", "batch": 1, "learning_rate": 0.1}}, ["dense.steps", "integer"]),
        ({"dense": {"steps": 0, "batch": 1, "learning_rate": 0.1}}, ["dense.steps", "greater than 0"]),
        ({"pretrain_dense": {"steps": 2, "batch": 2, "learning_rate": float("nan")}}, ["learning_rate", "finite"]),
        ({"voxel_size_angstrom": -1}, ["voxel_size_angstrom"]),
        ({"patch_zyx": [32, 32]}, ["patch_zyx"]),
        ({"specimens": []}, ["specimens"]),
        ({"validation": {"seeds": [2, 1], "shape_zyx": [48, 80, 80]}}, ["validation.seeds", "2 to 1"]),
        ({"specimens": [*RECIPE["specimens"], LARGER]}, ["demo", "share seeds but not sizes"]),
        ({"name": "heavy"}, ["heavy", "light"]),
        ({"specimens": [{"preset": "nowhere", "seeds": [1, 1], "shape_zyx": [80, 64, 64], "share": 1}]}, ["nowhere"]),
    ],
)
def test_impossible_recipes_get_a_sentence(tmp_path: Path, call: Any, change: dict[str, Any], words: list[str]) -> None:
    recipe = write_recipe(tmp_path, change)
    assert_refused(call("train", "dense", "--recipe", recipe, "--out", tmp_path / "new"), *words)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["name: [", "only words", "", "- 1"])
def test_files_that_are_no_recipe_get_a_sentence(tmp_path: Path, call: Any, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    refused = call("train", "dense", "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "new")
    assert_refused(refused, "not a training recipe")
    assert not (tmp_path / "new").exists()


def test_what_is_not_there_or_not_free_gets_a_sentence(tmp_path: Path, call: Any, recipe: Path) -> None:
    new = tmp_path / "new"
    words = ("--recipe", recipe)
    assert_refused(call("train", "dense", "--recipe", tmp_path / "none.yaml", "--out", new), "none.yaml", "light")
    assert_refused(call("train", "dense", *words, "--out", recipe), "is a file")
    assert_refused(call("train", "dense", *words, "--out", recipe / "inside"), "another --out")
    assert_refused(call("train", "dense", *words, "--out", new, "--structures", tmp_path / "no"), "--structures")
    assert_refused(call("train", "dense", *words, "--out", new, "--time-budget", "soon"), "soon", "1h30m")
    assert_refused(call("train", "dense", *words, "--out", new, "--time-budget", "0s"), "--time-budget")
    assert_refused(call("train", "dense", *words, "--out", new, "--labels", "me/1"), "--copick")
    assert_refused(call("train", "dense", *words, "--out", new, "--from", tmp_path / "no"), "no weights")
    assert not new.exists()


def test_structures_that_are_missing_are_named_before_anything_is_built(tmp_path: Path, call: Any) -> None:
    """The folder is there, what the recipe's presets name is not in it."""
    group = {"preset": "training", "seeds": [1, 1], "shape_zyx": [96, 64, 64], "share": 1.0}
    recipe = write_recipe(tmp_path, {"specimens": [*RECIPE["specimens"], group]})
    (tmp_path / "structures").mkdir()
    words = ("--recipe", recipe, "--structures", tmp_path / "structures")
    assert_refused(call("train", "dense", *words, "--out", tmp_path / "new"), "6z6u", "--structures")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stage", ["refine", "rebalance", "broaden"])
def test_a_recipe_without_the_stage_is_refused_before_anything_is_built(
    tmp_path: Path, call: Any, weights: Path, stage: str
) -> None:
    recipe = write_recipe(tmp_path, {stage: None})
    words = ("--recipe", recipe, "--from", weights, "--out", tmp_path / "new")
    assert_refused(call("train", stage, *words), f"no entry '{stage}'")
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_no_number_ends_training(out: Path, call: Any, weights: Path) -> None:
    change = {"dense": {"steps": 10, "batch": 1, "learning_rate": 1e30, "warmup_steps": 0}}
    recipe = write_recipe(out.parent, change)
    refused = call("train", "dense", "--recipe", recipe, "--out", out, "--from", weights)
    assert_refused(refused, "finite", "learning rate")
    assert not (out / "weights").exists()


def changed_card(weights: Path, folder: Path, **changes: Any) -> Path:
    """Return a copy of weights with another card for the dense network."""
    shutil.copytree(weights, folder)
    card = json.loads((folder / "dense.json").read_text())
    (folder / "dense.json").write_text(json.dumps({**card, **changes}))
    return folder


def test_weights_that_do_not_fit_get_a_sentence(
    out: Path, tmp_path: Path, call: Any, recipe: Path, weights: Path
) -> None:
    before = contents(out)
    words = ("train", "dense", "--recipe", recipe, "--out", out)
    assert_refused(call(*words, "--from", changed_card(weights, tmp_path / "coarse", voxel_size_angstrom=20)), "20 Å")
    network = json.loads((weights / "dense.json").read_text())["network"] | {"fpn_channels": 7}
    assert_refused(call(*words, "--from", changed_card(weights, tmp_path / "other", network=network)), "do not fit")
    cut = shutil.copytree(weights, tmp_path / "cut")
    (cut / "dense.safetensors").write_bytes((cut / "dense.safetensors").read_bytes()[:100])
    assert_refused(call(*words, "--from", cut), "truncated")
    assert_refused(call("train", "semantic", *words[2:]), "pretrain-dense", "--from")
    assert_refused(call("train", "refine", *words[2:]), "refine starts from dense weights", "--from")
    for stage in ("pretrain-subtomogram", "contrastive", "classifier"):
        assert_refused(call("train", stage, *words[2:]), "weights", "--from")
    assert contents(out) == before


def test_without_lightning_it_says_what_to_install(
    tmp_path: Path, call: Any, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    refused = call("train", "dense", "--recipe", recipe, "--out", tmp_path / "new")
    assert_refused(refused, "Lightning", "pip install 'cryosiam[train]'")
    assert not (tmp_path / "new").exists()


def test_two_at_once_in_one_folder_are_refused(out: Path, call: Any, recipe: Path) -> None:
    with (out / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert_refused(call("train", "pretrain-dense", "--recipe", recipe, "--out", out), "another cryosiam process")
