"""Reading copick projects, and one sentence for everything that is wrong with one."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosiam.domain import Contrast, Hand
from cryosiam.errors import InputError
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.ports import Source


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    """Return the message, which must be one line that ends without a full stop."""
    text = str(error.value)
    assert "\n" not in text
    assert not text.endswith(".")
    return text


def refused(path: Path, **options: Any) -> str:
    """Return the sentence with which opening the project and its tomogram is refused."""
    with pytest.raises(InputError) as error:
        CopickSource(path, **options).tomogram("TS_01")
    return sentence(error)


def test_reads_what_copick_wrote(project: Any) -> None:
    source = CopickSource(project.config_path)
    assert isinstance(source, Source)
    assert source.runs() == ["TS_01"]
    tomogram = source.tomogram("TS_01")
    assert (tomogram.shape, tomogram.voxel_size_angstrom, tomogram.tomogram_type) == ((20, 30, 45), 10.0, "wbp")
    box = (slice(3, 9), slice(0, 30), slice(40, 45))
    block = tomogram.volume.read(box)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, project.voxels[box])
    assert [(o.name, o.is_particle, o.label, o.radius_angstrom) for o in source.objects] == [
        ("ribosome", True, 2, 120.0)
    ]


@pytest.mark.parametrize("wanted", ["wbp", "wbp@10.0", "wbp@10", "@10", "w*", "wbp@*", None])
def test_tomogram_named_in_copicks_manner(project: Any, wanted: str | None) -> None:
    assert CopickSource(project.config_path, wanted).tomogram("TS_01").tomogram_type == "wbp"


def test_voxel_size_in_nanometres(project: Any) -> None:
    project.edit_scale([1.0, 1.0, 1.0], unit="nanometer")
    assert CopickSource(project.config_path).tomogram("TS_01").voxel_size_angstrom == pytest.approx(10)


def test_folder_may_round_the_voxel_size(project: Any) -> None:
    project.edit_scale([10.012444] * 3)
    assert CopickSource(project.config_path).tomogram("TS_01").voxel_size_angstrom == pytest.approx(10.012444)


def test_own_facts_are_read(project: Any) -> None:
    attributes = json.loads(project.zattrs().read_text())
    wedge = {"tilt_min_deg": -52, "tilt_max_deg": 60, "tilt_axis": "y"}
    attributes["cryosiam"] = {"contrast": "bright", "hand": "inverted", "wedge": wedge, "defocus_um": 3.2}
    project.zattrs().write_text(json.dumps(attributes))
    tomogram = CopickSource(project.config_path).tomogram("TS_01")
    assert (tomogram.contrast, tomogram.hand, tomogram.defocus_um) == (Contrast.BRIGHT, Hand.INVERTED, 3.2)
    assert tomogram.wedge is not None
    assert tomogram.wedge.tilt_min_deg == -52
    attributes["cryosiam"]["hand"] = "left"
    project.zattrs().write_text(json.dumps(attributes))
    assert "damaged" in refused(project.config_path)


def test_overlay_on_a_read_only_part(project: Any, tmp_path: Path) -> None:
    (tmp_path / "over").mkdir()
    project.edit(static_root=str(project.overlay), overlay_root=str(tmp_path / "over"))
    assert CopickSource(project.config_path).tomogram("TS_01").shape == (20, 30, 45)


def test_relative_root_is_taken_from_the_files_folder_and_said(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.edit(overlay_root="project")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with caplog.at_level(logging.WARNING):
        assert CopickSource(project.config_path).runs() == ["TS_01"]
    assert "overlay_root 'project' is taken from the folder of project.json" in caplog.text
    caplog.clear()
    monkeypatch.chdir(tmp_path)
    assert CopickSource(project.config_path).runs() == ["TS_01"]
    assert not caplog.text


def test_importing_copick_leaves_logging_alone(project: Any) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    CopickSource(project.config_path).tomogram("TS_01")
    assert (root.handlers, root.level) == before


def test_reference_picks_are_those_of_others(project: Any) -> None:
    run = project.open().get_run("TS_01")
    shifted = np.tile(np.eye(4), (2, 1, 1))
    shifted[:, :3, 3] = [1, 2, 3]
    points = np.array([[10.0, 20, 30], [40, 50, 60]])
    run.new_picks("ribosome", "1", user_id="alice").from_numpy(points, shifted, scores=np.array([0.5, 0.25]))
    run.new_picks("ribosome", "7", user_id="cryosiam").from_numpy(points)
    picks = CopickSource(project.config_path).reference_picks("TS_01")
    assert picks is not None
    np.testing.assert_allclose(picks.positions_angstrom, points + np.array([1, 2, 3]))
    np.testing.assert_allclose(picks.scores, [0.5, 0.25])
    assert picks.class_names == ("ribosome", "ribosome")


def test_no_reference_picks(project: Any) -> None:
    assert CopickSource(project.config_path).reference_picks("TS_01") is None


def test_signature_changes_with_the_voxels_only(project: Any) -> None:
    source = CopickSource(project.config_path)
    first = source.signature("TS_01")
    assert source.signature("TS_01") == first
    project.open().get_run("TS_01").new_picks("ribosome", "1", user_id="alice").from_numpy(np.zeros((1, 3)))
    assert CopickSource(project.config_path).signature("TS_01") == first
    chunk = project.zattrs().parent / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes() + b"x")
    assert CopickSource(project.config_path).signature("TS_01") != first


def test_missing_project_file(tmp_path: Path) -> None:
    assert "there is no project file" in refused(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["{", "[1, 2]", "{}", '"copick"', '{"a": 1}', ""])
def test_file_that_is_not_copick(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    assert "give a copick JSON file" in refused(tmp_path / "p.json")


@pytest.mark.parametrize("kind", ["cryoet_data_portal", "mlcroissant"])
def test_projects_of_other_types(project: Any, kind: str) -> None:
    project.edit(config_type=kind)
    assert "cannot be read yet" in refused(project.config_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config_type": "cloud"}, "unknown copick config_type 'cloud'"),
        ({"overlay_root": None}, "no 'overlay_root'"),
        ({"overlay_root": "/nowhere/at/all"}, "is not a folder"),
        ({"static_root": "/nowhere/at/all"}, "is not a folder"),
        ({"overlay_rot": "x", "userid": "me"}, "would drop: 'overlay_rot', 'userid'"),
        ({"user_id": "a_b"}, "'user_id'"),
        ({"pickable_objects": [{"name": "a", "is_particle": True, "lable": 1}]}, "of object 'a'"),
        ({"pickable_objects": [{"name": "a_b", "is_particle": True, "label": 1}]}, "use 'a-b'"),
        ({"pickable_objects": [{"name": "a", "is_particle": True, "label": 0}]}, "has label 0"),
        ({"pickable_objects": [{"name": "a"}]}, "lacks 'name' or 'is_particle'"),
        ({"pickable_objects": [{"name": "a", "is_particle": True}] * 2}, "have the name 'a'"),
        (
            {
                "pickable_objects": [
                    {"name": "a", "is_particle": True},
                    {"name": "b", "is_particle": True, "label": 1},
                ]
            },
            "have the label 1 ('a', 'b')",
        ),
    ],
)
def test_project_file_that_contradicts_copick(project: Any, changes: dict[str, Any], words: str) -> None:
    project.edit(**changes)
    assert words in refused(project.config_path)


def test_run_without_tomogram(project: Any) -> None:
    shutil.rmtree(project.zattrs().parent)
    assert "run 'TS_01'" in refused(project.config_path)
    assert "has no tomogram" in refused(project.config_path)


def test_two_tomograms_and_no_choice(make_project: Callable[..., Any]) -> None:
    path = make_project(("wbp", "sirt")).config_path
    assert "has 2 tomograms (sirt@10.0, wbp@10.0); choose one, such as -t sirt@10.0" in refused(path)
    assert CopickSource(path, "sirt").tomogram("TS_01").tomogram_type == "sirt"
    assert "has no tomogram 'foo'; there is sirt@10.0, wbp@10.0" in refused(path, tomogram="foo")
    assert "write it as type@voxelsize" in refused(path, tomogram="wbp@ten")


def test_two_voxel_sizes_and_no_choice(project: Any) -> None:
    run = project.open().get_run("TS_01")
    run.new_voxel_spacing(20.0).new_tomogram("wbp").from_numpy(project.voxels[::2, ::2, ::2], levels=1)
    assert "wbp@10.0, wbp@20.0" in refused(project.config_path)
    assert CopickSource(project.config_path, "@20").tomogram("TS_01").voxel_size_angstrom == 20


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ([0, 0, 0], "greater than zero"),
        ([-10, -10, -10], "greater than zero"),
        ([10, 10, 12], "not cubes"),
        ([20, 20, 20], "states a voxel size of 20 Å but lies in a folder of 10 Å"),
        ([float("nan")] * 3, "greater than zero"),
        (["ten"] * 3, "states no voxel size"),
        ([], "states no voxel size"),
    ],
)
def test_voxel_size_that_cannot_be(project: Any, scale: list[Any], words: str) -> None:
    project.edit_scale(scale)
    assert words in refused(project.config_path)


def test_voxel_size_absent(project: Any) -> None:
    project.zattrs().write_text("{}")
    assert "states no voxel size" in refused(project.config_path)


def test_unknown_unit(project: Any) -> None:
    project.edit_scale([10, 10, 10], unit="voxel")
    assert "'voxel'" in refused(project.config_path)


def test_folder_that_is_no_voxel_size(project: Any) -> None:
    (project.overlay / "ExperimentRuns" / "TS_01" / "VoxelSpacingten").mkdir()
    assert "whose name is not a number" in refused(project.config_path)


def test_newer_zarr_format(project: Any) -> None:
    (project.zattrs().parent / "zarr.json").write_text('{"zarr_format": 3}')
    assert "newer Zarr v3 format" in refused(project.config_path)


def test_tomogram_that_was_not_written_to_its_end(project: Any) -> None:
    group = project.zattrs().parent
    shutil.rmtree(group / "0")
    assert "has no array '0'" in refused(project.config_path)
    (group / ".zgroup").unlink()
    assert "holds no Zarr group" in refused(project.config_path)


def test_damaged_chunk(project: Any) -> None:
    chunk = project.zattrs().parent / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:5000])
    tomogram = CopickSource(project.config_path).tomogram("TS_01")
    with pytest.raises(InputError, match="damaged"):
        tomogram.volume.read((slice(0, 20), slice(0, 30), slice(0, 45)))


def test_chunks_that_were_not_copied_are_told_of(
    make_project: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(shape=(4, 300, 300))
    source = CopickSource(project.config_path)
    with caplog.at_level(logging.WARNING):
        source.tomogram("TS_01")
        assert not caplog.text
        (project.zattrs().parent / "0" / "0" / "1" / "0").unlink()
        source.tomogram("TS_01")
    assert "1 chunk(s) of" in caplog.text
    assert "copy it again" in caplog.text


def test_no_such_run_lists_near_names(project: Any) -> None:
    assert "there is no run 'TS_1'" in refused(project.config_path, runs=["TS_1"])
    assert "did you mean TS_01?" in refused(project.config_path, runs=["TS_1"])


@pytest.mark.parametrize("name", ["001", "12", "1e5", "nan", "a b"])
def test_run_names_that_star_readers_change(project: Any, name: str) -> None:
    runs = project.overlay / "ExperimentRuns"
    shutil.copytree(runs / "TS_01", runs / name)
    assert f"run name '{name}'" in refused(project.config_path)
    assert CopickSource(project.config_path, runs=["TS_01"]).runs() == ["TS_01"]


def test_run_name_with_a_slash(project: Any) -> None:
    runs = project.overlay / "ExperimentRuns"
    (runs / "grid1").mkdir()
    shutil.move(runs / "TS_01", runs / "grid1" / "TS_01")
    assert "run name 'grid1/TS_01'" in refused(project.config_path)
    assert "contains a slash" in refused(project.config_path, runs=["grid1/TS_01"])


def test_project_without_runs(project: Any) -> None:
    shutil.rmtree(project.overlay / "ExperimentRuns")
    assert "has no runs" in refused(project.config_path)


def test_damaged_picks(project: Any) -> None:
    folder = project.overlay / "ExperimentRuns" / "TS_01" / "Picks"
    folder.mkdir()
    (folder / "alice_1_ribosome.json").write_text("{")
    with pytest.raises(InputError) as error:
        CopickSource(project.config_path).reference_picks("TS_01")
    assert "cannot be read" in sentence(error)
    (folder / "alice-ribosome.json").write_text("{}")
    with pytest.raises(InputError) as error:
        CopickSource(project.config_path).reference_picks("TS_01")
    assert "user_session_object.json" in sentence(error)
