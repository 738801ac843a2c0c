"""The installed ``cryosiam train``: stages make weights that `pick` takes, go on after any end, or say one sentence."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cryosiam.cli.main import INTERRUPTED
from cryosiam.cli.train_stages import ALL
from cryosiam.weights import weights_folder

COMMAND = Path(sys.executable).parent / "cryosiam"
RECIPE: dict[str, Any] = {
    "name": "light",
    "voxel_size_angstrom": 10.0,
    "specimens": [{"preset": "demo", "seeds": [1, 2], "shape_zyx": [80, 64, 64], "share": 1.0}],
    "validation": {"seeds": [9001, 9002], "shape_zyx": [48, 80, 80]},
    "patch_zyx": [32, 48, 48],
    "self_supervision": {"patch_zyx": [32, 32, 32], "view_zyx": [24, 24, 24]},
    "pretrain_dense": {"steps": 2, "batch": 2, "learning_rate": 0.002},
    "dense": {"steps": 2, "batch": 1, "learning_rate": 0.002},
    "particles": 40,
    "pretrain_subtomogram": {"steps": 2, "batch": 4, "learning_rate": 0.001},
    "contrastive": {"steps": 2, "batch": 4, "learning_rate": 0.001},
}


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


def write_recipe(folder: Path, change: dict[str, Any] | None = None) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **(change or {})}))
    return path


def contents(folder: Path) -> dict[str, bytes | None]:
    found = (path for path in sorted(folder.rglob("*")) if path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def assert_refused(result: Any, *words: str) -> None:
    """Check that one sentence was said, that it holds all ``words``, and that the exit code tells."""
    assert result.returncode == 1, result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stdout + result.stderr
    for word in words:
        assert word in lines[0]


def test_recipes_are_listed_and_printed(call: Any, tmp_path: Path) -> None:
    listed = call("train", "recipes")
    assert listed.returncode == 0
    assert any(line.startswith("light") for line in listed.stdout.splitlines())
    printed = call("train", "recipes", "light")
    (tmp_path / "mine.yaml").write_text(printed.stdout)
    assert yaml.safe_load(printed.stdout)["name"] == "light"
    assert_refused(call("train", "recipes", "heavy"), "heavy", "light")


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


def digests(out: Path) -> dict[str, str]:
    """Return the digest of every weights file that a run made."""
    return {path.stem: json.loads(path.read_text())["sha256"] for path in (out / "weights").glob("*.json")}


def log_steps(out: Path, stage: str) -> list[int]:
    with (out / stage / "log.csv").open() as stream:
        return [int(row["step"]) for row in csv.DictReader(stream)]


def test_a_stage_makes_weights_once(out: Path, call: Any, recipe: Path) -> None:
    words = ("train", "pretrain-dense", "--recipe", recipe, "--out", out)
    made = call(*words)
    assert made.returncode == 0, made.stderr
    assert f"weights written to {out / 'weights'}" in made.stdout
    assert log_steps(out, "pretrain-dense") == [1, 2]
    assert any((out / "pretrain-dense" / "tensorboard").iterdir())
    before = contents(out)
    again = call(*words)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [f"pretrain-dense: done already; its weights are in {out / 'weights'}"]
    assert contents(out) == before
    other = write_recipe(out.parent, {"pretrain_dense": {"steps": 4, "batch": 2, "learning_rate": 0.002}})
    assert_refused(call(*words[:3], other, *words[4:]), "pretrain_dense.steps", "2, not 4", "another --out")
    assert contents(out) == before
    # What other stages learn by is none of its business.
    other = write_recipe(out.parent, {"dense": {"steps": 7, "batch": 1, "learning_rate": 0.002}})
    assert "done already" in call(*words[:3], other, *words[4:]).stdout


def test_out_of_time_it_says_how_far_it_is_and_goes_on(out: Path, call: Any, recipe: Path) -> None:
    words = ("train", "pretrain-dense", "--recipe", recipe, "--out", out)
    stopped = call(*words, "--time-budget", "0.01s")
    assert stopped.returncode == 0, stopped.stderr
    assert "the time is up after 1 steps" in stopped.stdout
    assert "run the same command again to go on" in stopped.stdout
    assert not (out / "weights").exists()
    damaged_checkpoints_are_refused(out / "pretrain-dense" / "checkpoint.pt", lambda: call(*words))
    done = call(*words, "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert log_steps(out, "pretrain-dense") == [1, 2]
    assert (out / "weights" / "pretraining.safetensors").is_file()


class Code:
    """Something that would run a program when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(Path(tempfile.gettempdir()) / "cryosiam-code-was-run"),))


def damaged_checkpoints_are_refused(checkpoint: Path, train: Any) -> None:
    good = checkpoint.read_bytes()
    with_code = io.BytesIO()
    torch.save({"model": Code()}, with_code)
    for bad in (good[: len(good) // 2], b"", with_code.getvalue()):
        checkpoint.write_bytes(bad)
        assert_refused(train(), str(checkpoint.parent))
        assert checkpoint.read_bytes() == bad
    assert not (Path(tempfile.gettempdir()) / "cryosiam-code-was-run").exists()
    checkpoint.write_bytes(good)


def test_a_loss_that_is_no_number_ends_training(out: Path, call: Any, weights: Path) -> None:
    change = {"dense": {"steps": 10, "batch": 1, "learning_rate": 1e30, "warmup_steps": 0}}
    recipe = write_recipe(out.parent, change)
    refused = call("train", "dense", "--recipe", recipe, "--out", out, "--from", weights)
    assert_refused(refused, "finite", "learning rate")
    assert not (out / "weights").exists()


def test_one_head_learns_and_the_others_stay(out: Path, call: Any, recipe: Path, weights: Path) -> None:
    words = ("train", "semantic", "--recipe", recipe, "--out", out, "--from", weights, "--freeze-trunk")
    made = call(*words)
    assert made.returncode == 0, made.stderr
    from cryosiam.weights import load_dense

    before, after = load_dense(weights).network.state_dict(), load_dense(out / "weights").network.state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"semantic"}
    assert "done already" in call(*words).stdout
    assert_refused(call(*words[:-1]), "freeze_trunk", "another --out")


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


def annotated(project: Any, runs: int | None = None) -> Any:
    """Let ``me`` pick the balls of some runs of a project."""
    objects = [{"name": "ball", "is_particle": True, "label": 1, "radius": 50.0}]
    project.write_config(pickable_objects=objects)
    for run, (centres, _) in list(project.truth.items())[:runs]:
        points = [{"location": dict(zip("zyx", (10 * centre).tolist(), strict=True))} for centre in centres]
        picks = {"pickable_object_name": "ball", "user_id": "me", "session_id": "1", "points": points}
        path = project.folder / "overlay" / "ExperimentRuns" / run / "Picks" / "me_1_ball.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(picks))
    return project


def test_heads_learn_from_annotations(
    tmp_path: Path, call: Any, recipe: Path, make_project: Any, weights: Path
) -> None:
    project = annotated(make_project(runs=2))
    before = project.contents()
    words = ("--copick", project.config, "--labels", "me/1", "--recipe", recipe, "--from", weights)
    made = call("train", "instance", *words, "--out", tmp_path / "new", "--freeze-trunk")
    assert made.returncode == 0, made.stderr
    assert project.contents() == before
    assert "TS_0" in json.loads((tmp_path / "new" / "weights" / "dense.json").read_text())["training"]["data"]
    assert "done already" in call("train", "instance", *words, "--out", tmp_path / "new", "--freeze-trunk").stdout


def test_annotations_that_cannot_be_learnt_from_get_a_sentence(
    tmp_path: Path, call: Any, recipe: Path, make_project: Any, weights: Path
) -> None:
    new = tmp_path / "new"

    def refused(project: Any, *words: object, stage: str = "instance") -> Any:
        return call(
            "train", stage, "--copick", project.config, "--recipe", recipe, "--from", weights, "--out", new, *words
        )

    bare = make_project("bare", runs=2)
    assert_refused(refused(bare), "no annotations", "--labels")
    assert_refused(refused(bare, "--labels", "me/1"), "no run", "me/1")
    assert_refused(refused(annotated(make_project("single"))), "only run 'TS_01'", "at least one more")
    some = annotated(make_project("some", runs=2))
    assert_refused(refused(some, "--labels", "me"), "USER/SESSION")
    assert_refused(refused(some, "--labels", "virus=ball:me/1"), "virus", "no class")
    assert_refused(refused(some, "--labels", "membrane=ball:me/1, particle=ball:me/1", stage="semantic"), "membrane")
    assert_refused(refused(some, "--structures", tmp_path), "either --structures")
    some.add_tomogram("TS_01", np.zeros((24, 32, 36), np.float32), "mask", 20.0)
    overlay = some.folder / "overlay" / "ExperimentRuns" / "TS_01"
    (overlay / "Segmentations").mkdir()
    shutil.move(overlay / "VoxelSpacing20.000" / "mask.zarr", overlay / "Segmentations" / "20.000_me_1_membrane.zarr")
    shutil.rmtree(overlay / "VoxelSpacing20.000")
    assert_refused(refused(some, "--labels", "me/1"), "20 Å", "grid")
    # What was read of sound annotations is kept for the next call; no stage has begun.
    assert not new.exists() or {path.name for path in new.iterdir()} <= {"tomograms", ".lock"}
    shutil.rmtree(overlay / "Segmentations")
    assert_refused(refused(some, stage="denoise"), "no labels", "denoise")
    assert not (new / "denoise").exists()
    assert not (new / "weights").exists()


LONG = {"dense": {"steps": 40, "batch": 1, "learning_rate": 0.002, "warmup_steps": 1}}


def started(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.home()
    )


def wait_for_steps(process: subprocess.Popen[str], log: Path, steps: int) -> None:
    """Wait until the log of a stage holds so many steps."""
    end = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < end:
        if log.is_file() and len(log.read_text().splitlines()) > steps:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate())


@pytest.mark.slow
def test_killed_or_interrupted_it_goes_on_as_if_it_had_not_been(
    out: Path, tmp_path: Path, cryosiam: Any, weights: Path
) -> None:
    recipe = write_recipe(tmp_path, LONG)
    whole = shutil.copytree(out, tmp_path / "whole")
    words = ("train", "lamella", "--recipe", recipe, "--from", weights, "--out")
    made = cryosiam(*words, whole)
    assert made.returncode == 0, made.stderr
    # A sitting that runs out of time leaves a checkpoint to go on from, however fast the machine is.
    assert "the time is up" in cryosiam(*words, out, "--time-budget", "0.01s").stdout
    process = started(*words, out)
    wait_for_steps(process, out / "lamella" / "log.csv", 11)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "weights").exists()
    process = started(*words, out)
    assert process.stdout is not None
    assert any("goes on from step 1 of" in line for line in iter(process.stdout.readline, ""))
    wait_for_steps(process, out / "lamella" / "log.csv", 11)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == INTERRUPTED, errors
    assert errors.strip() == "stopped; run the same command again to go on"
    went_on = cryosiam(*words, out)
    assert went_on.returncode == 0, went_on.stderr
    assert "goes on from step" in went_on.stdout
    assert log_steps(out, "lamella") == list(range(1, 41))
    assert digests(out)
    assert digests(out) == digests(whole)


def in_own_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; what it mounts is gone when it ends."""
    return subprocess.run(["unshare", "-rm", "sh", "-ec", script], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(out: Path, tmp_path: Path, cryosiam: Any) -> None:
    point = tmp_path / "mounted"
    point.mkdir()
    if shutil.which("unshare") is None or in_own_namespace(f"mount -t tmpfs tmpfs {point}").returncode:
        pytest.skip("this machine does not let a user mount file systems in a namespace")
    recipe = write_recipe(tmp_path)
    train = f"{COMMAND} train pretrain-dense --recipe {recipe} --out {point}"
    cryosiam(*train.split()[1:-1], out, "--time-budget", "0.01s")
    left = tmp_path / "left"
    result = in_own_namespace(
        f"mount -t tmpfs -o size=1g tmpfs {point}; cp -a {out}/. {point}; "
        f"used=$(du -sk {point} | cut -f1); mount -o remount,size=$((used + 100))k {point}; "
        f"set +e; {train}; code=$?; cp -a {point} {left}; mount -o remount,size=1g {point}; "
        f"{train} >&2; echo again $? >&2; exit $code"
    )
    lines = result.stderr.splitlines()
    assert result.returncode == 1, result.stdout + result.stderr
    assert lines[0].startswith("error: ")
    assert "space" in lines[0]
    assert "Traceback" not in result.stderr
    assert lines[-1] == "again 0"
    stage = Path("pretrain-dense") / "checkpoint.pt"
    assert (left / stage).read_bytes() == (out / stage).read_bytes()
    assert not list(left.rglob("*.part"))


@pytest.mark.slow
def test_all_goes_on_in_the_middle_and_what_it_makes_picks(
    out: Path, tmp_path: Path, cryosiam: Any, make_project: Any
) -> None:
    specimens = [{"preset": "demo", "seeds": [1, 12], "shape_zyx": [80, 96, 96], "share": 1.0}]
    recipe = write_recipe(
        tmp_path,
        {
            "specimens": specimens,
            "particles": 400,
            "contrastive": {"steps": 2, "batch": 16, "learning_rate": 0.001},
        },
    )
    alone = cryosiam("train", "dense", "--recipe", recipe, "--out", out)
    assert alone.returncode == 0, alone.stderr
    # Two steps teach a dense network to find no particle; the one that ships stands in for a longer training.
    shutil.copy(weights_folder("light") / "dense.json", out / "weights")
    shutil.copy(weights_folder("light") / "dense.safetensors", out / "weights")
    words = ("train", "all", "--recipe", recipe, "--out", out)
    made = cryosiam(*words)
    assert made.returncode == 0, made.stderr
    lines = made.stdout.splitlines()
    assert lines[0] == f"dense: done already; its weights are in {out / 'weights'}"
    assert [line.partition(":")[0] for line in lines if "done; weights written" in line] == list(ALL[1:])
    again = cryosiam(*words)
    assert again.stdout.count("done already") == len(ALL)
    project = make_project()
    picked = cryosiam("pick", "--copick", project.config, "--weights", out / "weights")
    assert picked.returncode == 0, picked.stderr
    assert "ribosome" not in json.loads((out / "weights" / "subtomogram.json").read_text())["species"]
