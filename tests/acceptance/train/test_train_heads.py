"""Heads learn on top of given weights, from simulated data or from the annotations of a copick project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .training_run import assert_refused


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
