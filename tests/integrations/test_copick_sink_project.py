"""Picks and pickable objects in copick projects, and what of a project is added to, replaced or left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosiam.domain import (
    ArrayVolume,
)
from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.ports import ProductKey, Sink

from .copick_products import KEY, NAMES, leftovers, opened, read_back, some_picks


def test_is_a_sink(project: Any) -> None:
    sink = CopickSink(project.config_path)
    assert isinstance(sink, Sink)
    sink.check(["TS_01"], KEY)
    assert sink.existing("TS_01", KEY) == []
    assert sink.finish(KEY) == []


@pytest.mark.parametrize("rotations", [False, True])
def test_picks(project: Any, rotations: bool) -> None:
    tomogram, sink = opened(project)
    picks = some_picks(rotations)
    sink.write_picks(tomogram, picks, KEY)
    with logging_kept():
        for name in ("class-1", "class-2"):
            (found,) = read_back(project).get_picks(name, user_id="cryosiam", session_id="7")
            ours = picks.of_class(name)
            positions, transforms = found.numpy()
            np.testing.assert_array_equal(positions, ours.positions_angstrom)
            np.testing.assert_array_equal(found.scores(), ours.scores)
            np.testing.assert_array_equal(found.instance_ids(), ours.instance_ids)
            wanted = ours.rotations if ours.rotations is not None else np.tile(np.eye(3), (len(ours), 1, 1))
            np.testing.assert_array_equal(transforms[:, :3, :3], wanted)
            assert found.trust_orientation is rotations
            assert found.meta.voxel_spacing == 10.0


def test_objects_are_added_and_the_rest_of_the_file_stays(project: Any) -> None:
    before = json.loads(project.config_path.read_text())
    tomogram, _ = opened(project)
    sink = CopickSink(project.config_path, objects={"particle": "ribosome"})
    sink.write_segmentation(tomogram, ArrayVolume(np.zeros(tomogram.shape)), NAMES, KEY)
    picks = some_picks()
    radii = np.where(np.array(picks.class_names) == "class-1", 77.0, 42.0)
    sink.write_picks(tomogram, replace(picks, radii_angstrom=radii), KEY)
    after = json.loads(project.config_path.read_text())
    assert list(after) == list(before)
    assert after["pickable_objects"][0] == before["pickable_objects"][0]
    new = {entry["name"]: entry for entry in after["pickable_objects"][1:]}
    assert set(new) == {"membrane", "microtubule", "actin", "filament", "class-1", "class-2"}
    labels = [entry["label"] for entry in after["pickable_objects"]]
    assert sorted(labels) == list(range(1, 8))
    assert (new["class-1"]["radius"], new["class-2"]["radius"]) == (77.0, 42.0)
    assert (new["membrane"]["is_particle"], new["class-1"]["is_particle"]) == (False, True)
    after.pop("pickable_objects")
    before.pop("pickable_objects")
    assert after == before


def test_objects_are_not_added_where_that_is_not_wanted(project: Any) -> None:
    tomogram, _ = opened(project)
    sink = CopickSink(project.config_path, add_objects=False)
    before = project.config_path.read_bytes()
    with pytest.raises(InputError, match=r"lacks the pickable objects 'membrane', 'particle'.*; add them"):
        sink.check(["TS_01"], KEY)
    with pytest.raises(InputError, match="'class-1', 'class-2'"):
        sink.write_picks(tomogram, some_picks(), KEY)
    assert project.config_path.read_bytes() == before
    assert sink.existing("TS_01", KEY) == []


@pytest.mark.parametrize(
    ("key", "objects"),
    [(ProductKey("a_b", "1"), {}), (ProductKey("a", "1_2"), {}), (KEY, {"particle": "my_particle"})],
)
def test_names_that_copick_would_change(project: Any, key: ProductKey, objects: dict[str, str]) -> None:
    with pytest.raises(InputError, match="cannot store"):
        CopickSink(project.config_path, objects=objects).check(["TS_01"], key)


def test_products_there_are_listed_and_not_replaced(project: Any) -> None:
    tomogram, sink = opened(project)
    writes: list[Callable[[CopickSink], object]] = [
        lambda s: s.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY),
        lambda s: s.write_segmentation(tomogram, ArrayVolume(np.zeros(tomogram.shape)), NAMES, KEY),
        lambda s: s.write_instances(tomogram, ArrayVolume(np.zeros(tomogram.shape)), "particle", KEY),
        lambda s: s.write_picks(tomogram, some_picks(), KEY),
    ]
    for write in writes:
        write(sink)
    listed = sink.existing("TS_01", KEY)
    assert listed == [
        "InstanceSegmentations/10.000_cryosiam_7_particle.zarr",
        "Picks/cryosiam_7_class-1.json",
        "Picks/cryosiam_7_class-2.json",
        "Segmentations/10.000_cryosiam_7_semantic-multilabel.zarr",
        "VoxelSpacing10.000/denoised.zarr",
    ]
    assert sink.existing("TS_01", ProductKey("cryosiam", "8")) == []
    for write in writes:
        with pytest.raises(ProductExistsError, match="--overwrite"):
            write(sink)
        write(CopickSink(project.config_path, overwrite=True))
    assert sink.existing("TS_01", KEY) == listed
    assert leftovers(project) == []


def test_input_is_never_replaced(project: Any, tmp_path: Path) -> None:
    tomogram, _ = opened(project)
    with pytest.raises(ProductExistsError, match="never replaced"):
        CopickSink(project.config_path, overwrite=True).write_tomogram(tomogram, KEY)
    (tmp_path / "over").mkdir()
    project.edit(static_root=str(project.overlay), overlay_root=str(tmp_path / "over"))
    with pytest.raises(ProductExistsError, match="never replaced"):
        CopickSink(project.config_path, overwrite=True).write_tomogram(tomogram, KEY)


def test_overlay_takes_the_products_of_a_read_only_part(project: Any, tmp_path: Path) -> None:
    (tmp_path / "over").mkdir()
    before = sorted(path for path in project.overlay.rglob("*"))
    project.edit(static_root=str(project.overlay), overlay_root=str(tmp_path / "over"))
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
    sink.write_picks(tomogram, some_picks(), KEY)
    assert sorted(path for path in project.overlay.rglob("*")) == before
    with logging_kept():
        run = read_back(project)
        np.testing.assert_array_equal(run.get_voxel_spacing(10.0).get_tomograms("denoised")[0].numpy(), project.voxels)
        assert len(run.get_picks(user_id="cryosiam")) == 2


def test_classes_of_an_earlier_attempt_go_and_other_peoples_picks_stay(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_picks(tomogram, some_picks(), KEY)
    with logging_kept():
        hand_made = read_back(project).new_picks("ribosome", "7", user_id="cryosiam")
        hand_made.from_numpy(np.zeros((1, 3)))
    only = some_picks().of_class("class-2")
    CopickSink(project.config_path, overwrite=True).write_picks(tomogram, only, KEY)
    names = {path.name for path in (project.overlay / "ExperimentRuns" / "TS_01" / "Picks").iterdir()}
    assert names == {"cryosiam_7_class-2.json", "cryosiam_7_ribosome.json"}


def test_overlay_elsewhere_is_refused(project: Any, tmp_path: Path) -> None:
    project.edit(static_root=str(project.overlay), overlay_root="memory://overlay", overlay_fs_args={})
    with pytest.raises(InputError, match="another machine"):
        CopickSink(project.config_path)
