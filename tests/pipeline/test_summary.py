"""Files of all runs, where some runs do not fit and others are no longer there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import starfile

from cryosiam.errors import InputError
from cryosiam.integrations.relion.picks_star import PicksStarSink
from cryosiam.integrations.relion.relion5 import Relion5Sink
from cryosiam.pipeline.manifest import InputRecord, Manifest, ProductRecord, RunRecord, StageRecord, WeightsRecord
from cryosiam.pipeline.runner import Project
from cryosiam.pipeline.summary import TableSummary
from cryosiam.ports import ProductKey

COMMON: dict[str, Any] = {"fingerprint": "f", "seconds": 0.0, "peak_memory_mib": 0.0, "finished": "now"}


def complete(project: Project, run: str, location: Path, shape: tuple[int, int, int] = (40, 40, 40)) -> RunRecord:
    """Leave the tables of a complete run with two picks, and return its record."""
    location.touch()
    scratch = project.scratch(run)
    positions = np.array([[100.0, 110.0, 120.0], [200.0, 210.0, 220.0]])
    columns: dict[str, Any] = {
        "positions_angstrom": positions,
        "scores": np.array([0.9, 0.8]),
        "class_names": np.array(["small", "large"]),
        "instance_ids": np.array([1, 2]),
    }
    scratch.save_table("picks", columns)
    scratch.save_table("embeddings", {"vectors": np.eye(2, dtype=np.float32)})
    stage = StageRecord(
        config={}, device="cpu", precision="float32", seed=0, versions={}, weights=WeightsRecord(name="n", sha256="s"),
        **COMMON,
    )  # fmt: skip
    known = InputRecord(
        location=str(location), signature="s", shape_zyx=shape, voxel_size_angstrom=10.0, tomogram_type="wbp"
    )
    products = {name: ProductRecord(locations=(), **COMMON) for name in ("embeddings", "classes")}
    return RunRecord(input=known, stages={"embed": stage}, products=products)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    source = SimpleNamespace(runs=lambda: ["TS_01"])
    return Project(cast("Any", source), "test", (), ProductKey("me", "1"), tmp_path)


def stars(project: Project, unbinned: int = 160) -> TableSummary:
    relion5 = Relion5Sink(project.out, None, 2.5, (unbinned, unbinned, unbinned))
    return TableSummary(project, (PicksStarSink(project.out), relion5))


def test_a_run_that_does_not_fit_does_not_block_the_others(project: Project, tmp_path: Path) -> None:
    runs = {
        "TS_01": complete(project, "TS_01", tmp_path / "1.mrc"),
        "TS_02": complete(project, "TS_02", tmp_path / "2.mrc", (40, 40, 60)),
    }
    record = stars(project).write(Manifest(source="test", runs=runs))
    assert set(starfile.read(tmp_path / "picks.star")["rlnTomoName"]) == {"TS_01", "TS_02"}
    particles = starfile.read(tmp_path / "relion5" / "particles.star", always_dict=True)["particles"]
    assert set(particles["rlnTomoName"]) == {"TS_01"}
    assert [note for note in record.notes if "TS_02" in note and "relion5" in note]
    files = {"picks.star", "particles.star", "small.star", "large.star", "embeddings.parquet"}
    assert {Path(place).name for place in record.locations} == files


def test_a_run_of_this_call_that_does_not_fit_is_refused_before_the_work(project: Project, tmp_path: Path) -> None:
    from cryosiam.domain import ArrayVolume, Tomogram

    volume = ArrayVolume(np.zeros((40, 40, 60), np.float32))
    with pytest.raises(InputError, match="TS_01"):
        stars(project).check([Tomogram("TS_01", volume, 10.0, "wbp", "x")])


def test_a_removed_run_leaves_the_files(project: Project, tmp_path: Path) -> None:
    paths = {"TS_01": tmp_path / "1.mrc", "TS_02": tmp_path / "2.mrc"}
    manifest = Manifest(source="test", runs={run: complete(project, run, path) for run, path in paths.items()})
    summary = stars(project)
    before = summary.fingerprint(manifest)
    assert not summary.write(manifest).notes
    paths["TS_02"].unlink()
    assert summary.fingerprint(manifest) != before
    record = stars(project).write(manifest)
    assert set(starfile.read(tmp_path / "picks.star")["rlnTomoName"]) == {"TS_01"}
    assert set(pq.read_table(tmp_path / "embeddings.parquet")["run"].to_pylist()) == {"TS_01"}
    assert [note for note in record.notes if "TS_02" in note and str(paths["TS_02"]) in note]


def test_what_is_not_written_is_no_file(project: Project, tmp_path: Path) -> None:
    record = stars(project).write(Manifest(source="test"))
    assert record.locations == ()
    assert any("picks.star was not written" in note for note in record.notes)
