from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import copick
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--runs", "1", "--shape", "48", "72", "80")


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    made = run("make_demo_project.py", *SMALL, cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder


def test_project_has_a_tomogram_and_consistent_truth(folder: Path) -> None:
    project = copick.from_file(str(folder / "demo/project.json"))
    demo = project.get_run("demo-9101")
    tomogram = demo.get_voxel_spacing(10.0).get_tomograms("wbp")[0].numpy()
    assert tomogram.shape == (48, 72, 80)
    instances = demo.get_segmentations(name="particle", user_id="truth", is_instance=True)[0].numpy()
    semantic = demo.get_segmentations(name="semantic", user_id="truth", is_multilabel=True)[0].numpy()
    particle = project.get_object("particle").label
    checked = 0
    for picks in demo.get_picks(user_id="truth"):
        centres, _ = picks.numpy()
        for centre, label in zip(centres, picks.instance_ids(), strict=True):
            where = instances == label
            assert (semantic[where] == particle).all()
            distance = np.linalg.norm(np.argwhere(where)[:, ::-1] * 10.0 - centre, axis=1)
            assert distance.max() <= project.get_object(picks.pickable_object_name).radius + 17
            checked += 1
    assert checked == len(np.unique(instances)) - 1 > 5


def test_making_it_again_changes_nothing(folder: Path) -> None:
    before = (folder / "demo/project.json").stat().st_mtime_ns
    again = run("make_demo_project.py", *SMALL, cwd=folder)
    assert again.returncode == 0
    assert "already" in again.stdout
    assert (folder / "demo/project.json").stat().st_mtime_ns == before
