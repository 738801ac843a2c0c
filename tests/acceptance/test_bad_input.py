"""Bad input: one sentence, a non-zero exit code, and nothing written or lost."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SMALL_SHAPE = (24, 32, 40)


@pytest.fixture
def project(make_project: Any) -> Any:
    return make_project(shape=SMALL_SHAPE)


def refuse(call: Any, project: Any, weights: Path, *options: object) -> str:
    """Run pick, check that it refuses without a trace, and return the sentence."""
    before = project.contents()
    result = call("pick", "--copick", project.config, "--weights", weights, *options)
    assert result.returncode == 1, result.stdout
    assert project.contents() == before
    return one_sentence(result.stderr)


def one_sentence(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, text
    assert lines[0].startswith("error: ")
    assert "Traceback" not in text
    return lines[0]


def zarr_attributes(project: Any) -> Path:
    path: Path = project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "VoxelSpacing10.000" / "wbp.zarr" / ".zattrs"
    return path


def set_scale(project: Any, scale: list[float] | None) -> None:
    path = zarr_attributes(project)
    content = json.loads(path.read_text())
    dataset = content["multiscales"][0]["datasets"][0]
    if scale is None:
        del dataset["coordinateTransformations"]
    else:
        dataset["coordinateTransformations"][0]["scale"] = scale
    path.write_text(json.dumps(content))


def missing_file(project: Any) -> None:
    project.config.unlink()


def not_json(project: Any) -> None:
    project.config.write_text("this is no JSON")


def not_copick(project: Any) -> None:
    project.config.write_text('{"name": "something else"}')


def unknown_keys(project: Any) -> None:
    project.write_config(overlay_rot="/tmp")


def no_tomogram(project: Any) -> None:
    shutil.rmtree(project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "VoxelSpacing10.000" / "wbp.zarr")


def two_types(project: Any) -> None:
    project.add_tomogram("TS_01", np.zeros(SMALL_SHAPE, np.float32), kind="sirt")


def no_voxel_size(project: Any) -> None:
    set_scale(project, None)


def zero_voxel_size(project: Any) -> None:
    set_scale(project, [0.0, 0.0, 0.0])


def negative_voxel_size(project: Any) -> None:
    set_scale(project, [-10.0, -10.0, -10.0])


def not_isotropic(project: Any) -> None:
    set_scale(project, [10.0, 10.0, 12.0])


def other_than_folder(project: Any) -> None:
    set_scale(project, [13.0, 13.0, 13.0])


def newer_zarr(project: Any) -> None:
    zarr_attributes(project).unlink()
    folder = zarr_attributes(project).parent
    (folder / ".zgroup").unlink()
    (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')


def underscore(project: Any) -> None:
    project.write_config(pickable_objects=[{"name": "my_ribosome", "is_particle": True, "label": 1}])


def all_digits(project: Any) -> None:
    runs = project.folder / "overlay" / "ExperimentRuns"
    (runs / "TS_01").rename(runs / "001")


def label_collision(project: Any) -> None:
    objects = [{"name": name, "is_particle": True, "label": 1} for name in ("ribosome", "proteasome")]
    project.write_config(pickable_objects=objects)


def not_numbers(project: Any) -> None:
    volume = np.random.default_rng(0).normal(size=SMALL_SHAPE).astype(np.float32)
    volume[12, 16, 20] = np.nan
    project.add_tomogram("TS_01", volume)


def constant(project: Any) -> None:
    project.add_tomogram("TS_01", np.full(SMALL_SHAPE, 3.0, np.float32))


CASES: list[tuple[Callable[[Any], None], str]] = [
    (missing_file, "no project file"),
    (not_json, "not JSON"),
    (not_copick, "not a copick project"),
    (unknown_keys, "overlay_rot"),
    (no_tomogram, "no tomogram"),
    (two_types, "-t sirt@10.0"),
    (no_voxel_size, "voxel size"),
    (zero_voxel_size, "voxel size"),
    (negative_voxel_size, "voxel size"),
    (not_isotropic, "not cubes"),
    (other_than_folder, "13 Å"),
    (newer_zarr, "newer"),
    (underscore, "my_ribosome"),
    (all_digits, "001"),
    (label_collision, "label"),
    (not_numbers, "NaN"),
    (constant, "same value"),
]


@pytest.mark.parametrize(("break_it", "message"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_broken_project(project: Any, weights: Path, call: Any, break_it: Callable[[Any], None], message: str) -> None:
    break_it(project)
    assert message in refuse(call, project, weights)


OPTIONS = {
    "neither project nor files": ([], "give one of --copick project.json, --mrc"),
    "unknown run": (["-r", "TS_99"], "TS_99"),
    "run with a slash": (["-r", "day1/TS_01"], "slash"),
    "unknown tomogram": (["-t", "sirt@10.0"], "sirt@10.0"),
    "object that the weights do not know": (["--objects", "sphinx"], "sphinx"),
    "two classes as one object": (["--objects", "small=ball,large=ball"], "'ball' for more than one class"),
    "a class as another one": (["--objects", "small,large=small"], "'small' for more than one class"),
    "a class twice": (["--objects", "small,small"], "'small' for more than one class"),
    "threshold that is no number": (["--threshold", "nan"], "--threshold"),
    "threshold above every score": (["--threshold", "1.5"], "--threshold"),
    "session id with an underscore": (["--session-id", "a_b"], "a_b"),
    "memory that is no size": (["--memory", "lots"], "lots"),
    "unknown device": (["--device", "abacus"], "abacus"),
    "tomogram size without pixel size": (["--tomogram-size", "4,4,4"], "--tilt-series-pixel-size"),
    "tomogram size that does not fit": (
        ["--tomogram-size", "4000,4000,1000", "--tilt-series-pixel-size", "2.5"],
        "unbinned",
    ),
    "missing tomograms.star": (["--tomograms-star", "nowhere.star"], "nowhere.star"),
    "voxel size for a project": (["--voxel-size", "10"], "--voxel-size"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_options(project: Any, weights: Path, call: Any, name: str) -> None:
    options, message = OPTIONS[name]
    if not options:
        before = project.contents()
        result = call("pick", "--weights", weights)
        assert result.returncode == 1
        assert project.contents() == before
        assert message in one_sentence(result.stderr)
    else:
        assert message in refuse(call, project, weights, *options)


def test_memory_too_small_for_a_tile(project: Any, weights: Path, call: Any) -> None:
    result = call("pick", "--copick", project.config, "--weights", weights, "--memory", "1k")
    assert result.returncode == 1
    assert "--memory" in one_sentence(result.stderr)
    assert not project.out.exists()


def truncated(folder: Path) -> None:
    path = folder / "dense.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def truncated_classifier(folder: Path) -> None:
    path = folder / "subtomogram.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def change_card(folder: Path, task: str, **changes: object) -> None:
    path = folder / f"{task}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def other_classes(folder: Path) -> None:
    change_card(folder, "dense", semantic_classes=["background", "membrane", "ribosome"])


def other_voxel_size(folder: Path) -> None:
    change_card(folder, "dense", voxel_size_angstrom=13.0)


def impossible_voxel_size(folder: Path) -> None:
    change_card(folder, "dense", voxel_size_angstrom=-1.0)


def other_species(folder: Path) -> None:
    change_card(folder, "subtomogram", species=["small", "large", "huge"])


def no_card(folder: Path) -> None:
    (folder / "subtomogram.json").unlink()


WEIGHTS: list[tuple[Callable[[Path], None], str]] = [
    (truncated, "truncated"),
    (truncated_classifier, "truncated"),
    (other_classes, "semantic classes"),
    (other_voxel_size, "belong together"),
    (impossible_voxel_size, "voxel_size"),
    (other_species, "3 classes"),
    (no_card, "missing"),
]


@pytest.mark.parametrize(("break_it", "message"), WEIGHTS, ids=[case.__name__ for case, _ in WEIGHTS])
def test_broken_weights(
    project: Any, weights: Path, tmp_path: Path, call: Any, break_it: Callable[[Path], None], message: str
) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "weights"))
    break_it(copy)
    assert message in refuse(call, project, copy)


def test_products_of_somebody_else_are_in_the_way(project: Any, weights: Path, call: Any, tmp_path: Path) -> None:
    assert call("pick", "--copick", project.config, "--weights", weights, "--quiet").returncode == 0
    message = refuse(call, project, weights, "--out", tmp_path / "elsewhere")
    assert "--session-id" in message
    assert "--overwrite" in message
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_that_cannot_be_used_does_not_stop_the_others(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project(shape=SMALL_SHAPE, runs=2)
    not_numbers(project)
    result = call("pick", "--copick", project.config, "--weights", weights)
    assert result.returncode == 1
    assert "TS_01" in one_sentence(result.stderr)
    assert set(project.manifest()["runs"]) == {"TS_02"}
    assert (project.out / "picks.star").exists()


def test_results_of_another_project_are_not_mixed(make_project: Any, weights: Path, call: Any, tmp_path: Path) -> None:
    first, second = make_project("first", SMALL_SHAPE), make_project("second", SMALL_SHAPE)
    out = tmp_path / "out"
    assert call("pick", "--copick", first.config, "--weights", weights, "--out", out, "-q").returncode == 0
    assert "another --out" in refuse(call, second, weights, "--out", out)


def test_results_of_another_file_are_not_replaced(tmp_path: Path, weights: Path, call: Any, mrc: Any) -> None:
    volume = np.random.default_rng(0).normal(size=SMALL_SHAPE).astype(np.float32)
    paths = [tmp_path / folder / "TS_01.mrc" for folder in ("first", "other")]
    for path in paths:
        path.parent.mkdir()
        mrc(path, volume)
    options = ("--out", tmp_path / "out", "--weights", weights)
    assert call("denoise", "--mrc", paths[0], *options).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = call("denoise", "--mrc", paths[1], *options)
    assert result.returncode == 1
    assert "give another --out" in one_sentence(result.stderr)
    assert str(paths[0]) in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert call("denoise", "--mrc", paths[1], *options, "--overwrite", "--dry-run").returncode == 0


def test_damaged_manifest(project: Any, weights: Path, call: Any) -> None:
    project.out.mkdir()
    (project.out / "manifest.json").write_text('{"format": 1, "runs":')
    assert "manifest" in refuse(call, project, weights)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; see test_read_only_file_system")
def test_read_only_folder(project: Any, weights: Path, call: Any) -> None:
    project.folder.chmod(0o500)
    try:
        assert "permission" in refuse(call, project, weights)
    finally:
        project.folder.chmod(0o700)


MRC_CASES = {
    "no such file": "no file fits",
    "truncated": "truncated",
    "nan": "NaN",
    "constant": "same value",
    "no voxel size": "--voxel-size",
    "negative voxel size option": "above zero",
    "not isotropic": "not cubes",
    "name of digits": "reads as a number",
}


@pytest.mark.parametrize("case", MRC_CASES)
def test_broken_mrc(tmp_path: Path, weights: Path, call: Any, mrc: Any, case: str) -> None:
    folder = tmp_path / "tomograms"
    folder.mkdir()
    volume = np.random.default_rng(0).normal(size=SMALL_SHAPE).astype(np.float32)
    path = folder / ("001.mrc" if case == "name of digits" else "TS_01.mrc")
    options: list[object] = []
    if case == "nan":
        volume[3, 4, 5] = np.nan
    if case == "constant":
        volume[:] = 1.0
    if case != "no such file":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Data array contains NaN")
            mrc(path, volume, 0.0 if case == "no voxel size" else 10.0)
    if case == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    if case == "not isotropic":
        import mrcfile

        with mrcfile.open(path, mode="r+") as file:
            file.voxel_size = (10.0, 10.0, 12.0)
    if case == "negative voxel size option":
        options = ["--voxel-size", -10]
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    out = tmp_path / "out"
    result = call("pick", "--mrc", folder / "*.mrc", "--out", out, "--weights", weights, *options)
    assert result.returncode == 1, result.stdout
    assert MRC_CASES[case] in one_sentence(result.stderr)
    assert not out.exists()
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before


def test_usage_errors_have_their_own_exit_code(call: Any) -> None:
    assert call("pick", "--no-such-option").returncode == 2
    assert call("no-such-command").returncode == 2
