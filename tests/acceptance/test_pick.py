"""The installed command, from a project of balls to picks that lie on them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import starfile
import zarr
from numpy.typing import NDArray
from scipy.spatial import cKDTree


def nearest(found: NDArray[np.float64], truth_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each true centre to the nearest pick, in voxels."""
    distances: NDArray[np.float64] = cKDTree(found).query(truth_zyx[:, ::-1])[0]
    return distances


def locations(points: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([[point["location"][axis] for axis in "xyz"] for point in points]) / 10.0


def test_pick_finds_every_ball_and_writes_every_product(make_project: Any, weights: Path, cryosiam: Any) -> None:
    project = make_project(runs=2)
    result = cryosiam("pick", "--copick", project.config, "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    objects = json.loads(project.config.read_text())["pickable_objects"]
    for run, (centres, radii) in project.truth.items():
        for name, radius in (("small", 4.0), ("large", 7.0)):
            points = project.picks(run, name)
            true = centres[radii == radius]
            assert len(points) == len(true)
            assert nearest(locations(points), true).max() < 0.3
            assert all(0.0 <= point["score"] <= 1.0 for point in points)
            # The object that the project got has the size of what was found.
            (entry,) = [entry for entry in objects if entry["name"] == name]
            assert entry["radius"] == pytest.approx(10.0 * radius, rel=0.15)
        folder = project.folder / "overlay" / "ExperimentRuns" / run
        denoised = zarr.open(str(folder / "VoxelSpacing10.000" / "wbp-denoised-cryosiam-1.zarr" / "0"), mode="r")
        semantic = zarr.open(
            str(folder / "Segmentations" / "10.000_cryosiam_1_semantic-multilabel.zarr" / "0"), mode="r"
        )
        instances = zarr.open(str(folder / "InstanceSegmentations" / "10.000_cryosiam_1_particle.zarr" / "0"), mode="r")
        assert denoised.shape == semantic.shape == instances.shape == project.shape
        middle = tuple(np.rint(centres[0]).astype(int))
        assert denoised[middle] < -1.0
        assert semantic[middle] > 0
        assert len(np.unique(instances[:])) == len(centres) + 1
        assert (project.out / f"{run}.png").read_bytes()[:4] == b"\x89PNG"

    star = starfile.read(project.out / "picks.star")
    rows = pq.read_table(project.out / "embeddings.parquet").to_pandas()
    assert len(star) == len(rows) == sum(len(radii) for _, radii in project.truth.values())
    assert list(star["rlnTomoName"]) == list(rows["run"])
    np.testing.assert_allclose(star["rlnCoordinateX"] * 10.0, rows["x_angstrom"], atol=1e-2)
    assert not rows.duplicated(["run", "pick"]).any()
    np.testing.assert_allclose(np.linalg.norm(np.stack(rows["embedding"]), axis=1), 1.0, atol=1e-5)
    assert "--tilt-series-pixel-size" in result.stdout

    schema = json.loads((files("cryosiam.schemas") / "manifest.schema.json").read_text())
    jsonschema.validate(project.manifest(), schema)
    stages = project.manifest()["runs"]["TS_01"]["stages"]
    assert stages["dense"]["weights"]["name"] == "threshold"
    assert len(stages["check"]["details"]["sha256"]) == 64
    assert all(stage["seconds"] >= 0 and stage["peak_memory_mib"] > 0 for stage in stages.values())

    before = project.contents()
    again = cryosiam("pick", "--copick", project.config, "--weights", weights)
    assert again.returncode == 0
    assert "TS_01: up to date" in again.stdout
    assert "nothing to do" in again.stdout
    assert project.contents() == before


def finished(project: Any, run: str = "TS_01") -> dict[str, str]:
    """Return when each stage and product of a run was finished, as text that changes when it is redone."""
    record = project.manifest()["runs"][run]
    parts = {**record["stages"], **record["products"]}
    return {name: f"{part['finished']} {part['seconds']}" for name, part in parts.items()}


def test_only_what_changed_is_redone(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    options = ("pick", "--copick", project.config, "--weights", weights, "--quiet")
    assert call(*options).returncode == 0
    first = finished(project)

    result = call(*options, "--threshold", 0.99999)
    assert result.returncode == 0, result.stderr
    second = finished(project)
    changed = {name for name in first if first[name] != second[name]}
    assert changed <= {"picks", "overlay"}
    assert "picks" in changed
    assert not (project.out / "picks.star").exists()
    again = call(*options[:-1], "--threshold", 0.99999)
    assert "nothing to do" in again.stdout

    project.add_tomogram("TS_01", _volume(project)[:, :, ::-1])
    assert call(*options).returncode == 0
    third = finished(project)
    assert {name for name in third if third[name] == second[name]} == set()


def _volume(project: Any) -> NDArray[np.float32]:
    path = project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "VoxelSpacing10.000" / "wbp.zarr" / "0"
    volume: NDArray[np.float32] = zarr.open(str(path), mode="r")[:]
    return volume


def test_overwrite_redoes_everything(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    options = ("pick", "--copick", project.config, "--weights", weights)
    assert call(*options).returncode == 0
    first, star = finished(project), (project.out / "picks.star").read_bytes()
    result = call(*options, "--overwrite")
    assert result.returncode == 0
    assert "dense: done" in result.stdout
    second = finished(project)
    kept = {name for name in first if first[name] == second[name]}
    assert kept <= {"embeddings", "classes"}
    assert (project.out / "picks.star").read_bytes() == star


def test_a_lost_product_is_made_again(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    options = ("pick", "--copick", project.config, "--weights", weights)
    assert call(*options).returncode == 0
    picks = project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "Picks" / "cryosiam_1_small.json"
    content = picks.read_bytes()
    picks.unlink()
    result = call(*options)
    assert result.returncode == 0
    assert json.loads(picks.read_text())["points"] == json.loads(content)["points"]
    assert "dense" not in result.stdout


def test_picks_sorted_by_hand_are_kept(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    options = ("pick", "--copick", project.config, "--weights", weights)
    assert call(*options).returncode == 0
    picks = project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "Picks" / "cryosiam_1_small.json"
    content = json.loads(picks.read_text())
    picks.write_text(json.dumps({**content, "points": content["points"][:1]}))
    before = project.contents()
    assert call(*options).returncode == 0
    result = call(*options, "--threshold", 0.5)
    assert result.returncode == 1
    assert "cryosiam_1_small.json was changed" in result.stderr
    assert project.contents() == before
    assert call(*options, "--threshold", 0.5, "--session-id", 2).returncode == 0
    assert json.loads(picks.read_text())["points"] == content["points"][:1]
    assert call(*options, "--threshold", 0.5, "--overwrite").returncode == 0
    assert len(project.picks("TS_01", "small")) > 1


def test_single_stages_write_their_product_only(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    run = project.folder / "overlay" / "ExperimentRuns" / "TS_01"
    expected = {
        "denoise": "VoxelSpacing10.000/wbp-denoised-cryosiam-1.zarr",
        "segment": "Segmentations/10.000_cryosiam_1_semantic-multilabel.zarr",
        "instances": "InstanceSegmentations/10.000_cryosiam_1_particle.zarr",
        "classify": "Picks/cryosiam_1_small.json",
    }
    done: set[str] = set()
    for command, product in expected.items():
        result = call(command, "--copick", project.config, "--weights", weights)
        assert result.returncode == 0, result.stderr
        done.add(product)
        assert {name for name in expected.values() if (run / name).exists()} == done
        if command == "instances":
            assert len(project.picks("TS_01", "particle")) == len(project.truth["TS_01"][1])
    assert not (run / "Picks" / "cryosiam_1_particle.json").exists()
    assert call("instances", "--copick", project.config, "--weights", weights).returncode == 0
    assert {name for name in expected.values() if (run / name).exists()} == done
    rows = pq.read_table(project.out / "embeddings.parquet")
    assert set(rows["class"].to_pylist()) == {"small", "large"}
    assert call("embed", "--copick", project.config, "--weights", weights).returncode == 0
    result = call("pick", "--copick", project.config, "--weights", weights)
    assert result.returncode == 0
    assert {name for name in expected.values() if (run / name).exists()} == done


def test_a_tomogram_type_with_an_underscore_is_picked(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    folder = project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "VoxelSpacing10.000"
    (folder / "wbp.zarr").rename(folder / "wbp_dctf.zarr")
    result = call("denoise", "--copick", project.config, "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert (folder / "wbp-dctf-denoised-cryosiam-1.zarr").exists()


def test_dry_run_writes_nothing(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    before = project.contents()
    result = call("pick", "--copick", project.config, "--weights", weights, "--dry-run")
    assert result.returncode == 0
    assert "would run check, dense" in result.stdout
    assert project.contents() == before


def test_objects_select_and_rename_pick_sets(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project()
    result = call("pick", "--copick", project.config, "--weights", weights, "--objects", "large=ribosome")
    assert result.returncode == 0, result.stderr
    picks = project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "Picks"
    assert [path.name for path in picks.iterdir()] == ["cryosiam_1_ribosome.json"]


def test_runs_sessions_and_relion_options(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project(runs=2)
    z, y, x = project.shape
    options = ("pick", "--copick", project.config, "--weights", weights)
    relion = ("--tilt-series-pixel-size", 2.5, "--tomogram-size", f"{4 * x},{4 * y},{4 * z}")
    result = call(*options, "-r", "TS_02", "--user-id", "me", "--session-id", "7", *relion)
    assert result.returncode == 0, result.stderr
    assert not (project.folder / "overlay" / "ExperimentRuns" / "TS_01" / "Picks").exists()
    centres, radii = project.truth["TS_02"]
    assert len(project.picks("TS_02", "small", "me", "7")) == (radii == 4.0).sum()
    blocks = starfile.read(project.out / "relion5" / "particles.star", always_dict=True)
    table = blocks["particles"]
    found = np.stack([table[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"], axis=1)
    centred = (found + np.array([x, y, z]) * 10.0 / 2) / 10.0
    assert nearest(centred, centres).max() < 0.3

    # A second session leaves the first one's products alone, and runs add up in the files of all runs.
    first = {name: data for name, data in project.contents().items() if "_me_7_" in name or "me_7_" in name}
    assert call(*options, "--user-id", "me", "--session-id", "8").returncode == 0
    after = project.contents()
    assert all(after[name] == data for name, data in first.items())
    assert set(starfile.read(project.out / "picks.star")["rlnTomoName"]) == {"TS_01", "TS_02"}
