"""A RELION project without copick: picked, and handed back to the same project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile
from scipy.spatial import cKDTree

from .relion_project import BINNING, PIXEL_SIZE_ANGSTROM, SMALL_SHAPE, RelionProject


@pytest.fixture
def make_relion(tmp_path: Path, ball_volume: Any) -> Any:
    def make(runs: tuple[str, ...] = ("TS_01",), **options: Any) -> RelionProject:
        return RelionProject(tmp_path / "project", ball_volume, runs, **options)

    return make


def test_picks_and_hands_back(make_relion: Any, weights: Path, call: Any, tmp_path: Path) -> None:
    project, out = make_relion(), tmp_path / "out"
    result = call("pick", "--relion", project.star, "--out", out, "--weights", weights)
    assert result.returncode == 0, result.stderr
    particles = starfile.read(out / "relion5" / "particles.star", parse_as_string=["rlnTomoName"])["particles"]
    assert set(particles["rlnTomoName"]) == {"TS_01"}
    centred = np.stack([particles[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"], axis=1)
    size = np.array(project.shape[::-1]) * BINNING
    truth = (project.truth["TS_01"][:, ::-1] * BINNING - size / 2) * PIXEL_SIZE_ANGSTROM
    distances, _ = cKDTree(centred).query(truth)
    assert distances.max() < 2.0
    assert len(centred) == len(truth)
    assert (out / "cryosiam-1" / "TS_01_semantic.mrc").exists()
