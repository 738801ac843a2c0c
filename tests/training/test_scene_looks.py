"""A held-out scene in the looks that scores are calibrated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosiam.simulation.build import species_wanted
from cryosiam.simulation.sources import load_all
from cryosiam.training.dense_accuracy import calibrate
from cryosiam.training.recipe import PresetSeeds
from cryosiam.training.scene_looks import Look, scene_look
from cryosiam.training.scenes import Scene, make_preset_scenes
from cryosiam.weights import load_dense_parts

VOXEL = 10.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    group = PresetSeeds(preset="demo", seeds=(5, 5), shape_zyx=(84, 64, 64))
    folder: Path = tmp_path_factory.mktemp("scenes")
    (made,) = make_preset_scenes(folder, group, VOXEL, lambda spec: load_all(species_wanted(spec), VOXEL))
    return made


def test_every_look_is_normalised_and_nearer_to_the_truth_than_the_noise(scene: Scene) -> None:
    parts = load_dense_parts("light")
    clean = np.asarray(scene.array("clean"), np.float32).ravel()
    alike: dict[Look, float] = {}
    looks: tuple[Look, ...] = ("noisy", "denoised", "clear")
    for look in looks:
        shown = np.asarray(scene_look(scene, look, parts), np.float32)
        assert shown.shape == scene.shape
        assert abs(float(shown.mean())) < 0.05
        assert float(shown.std()) == pytest.approx(1.0, abs=0.1)
        alike[look] = float(np.corrcoef(shown.ravel(), clean)[0, 1])
    assert alike["noisy"] + 0.1 < alike["denoised"] < alike["clear"]
    assert alike["clear"] > 0.98


def test_scores_go_by_all_looks_that_are_asked_for(scene: Scene) -> None:
    parts = load_dense_parts("light")
    noisy = calibrate(parts, [scene], print)
    every = calibrate(parts, [scene], print, ("noisy", "clear", "denoised"))
    assert noisy is not None
    assert every is not None
    assert noisy["means"] != every["means"]
