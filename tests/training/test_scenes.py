"""Tomograms of other presets that are held out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosiam.simulation.build import species_wanted
from cryosiam.simulation.sources import load_all
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.species import Species
from cryosiam.training.recipe import PresetSeeds, read_recipe
from cryosiam.training.scenes import ARRAYS, make_preset_scenes

VOXEL = 10.0


def test_a_scene_of_a_preset_is_made_once_and_whole(tmp_path: Path) -> None:
    group = PresetSeeds(preset="demo", seeds=(5, 5), shape_zyx=(84, 64, 64))
    loaded: list[str] = []

    def make() -> Path:
        def load(spec: SimulationSpec) -> Mapping[str, Species]:
            loaded.append(spec.name)
            return load_all(species_wanted(spec), VOXEL)

        (scene,) = make_preset_scenes(tmp_path, group, VOXEL, load)
        assert scene.shape == (84, 64, 64)
        assert all(scene.array(name).shape == scene.shape for name in ARRAYS)
        assert len(scene.picks()) == len(np.unique(scene.array("instances"))) - 1
        return scene.folder

    folder = make()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert make() == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert loaded == ["demo"]


def test_no_seed_is_both_learnt_from_and_held_out() -> None:
    recipe = read_recipe("light")
    further = [how.specimens for how in (recipe.refine, recipe.rebalance, recipe.broaden) if how is not None]
    groups = (*recipe.specimens, *itertools.chain.from_iterable(further))
    learnt = {(group.preset, seed) for group in groups for seed in range(group.seeds[0], group.seeds[1] + 1)}
    held_out = {("training", seed) for seed in range(recipe.validation.seeds[0], recipe.validation.seeds[1] + 1)}
    others = recipe.validation.others
    held_out |= {(group.preset, seed) for group in others for seed in range(group.seeds[0], group.seeds[1] + 1)}
    assert {group.preset for group in recipe.specimens} == {preset for preset, _ in held_out}
    assert not learnt & held_out
