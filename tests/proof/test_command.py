"""From picks in a copick project to the average of another program, by the installed command alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryosiam.integrations.copick.library import logging_kept

from ..clients import client_program, run_client  # noqa: TID252 - tests are no package
from .orientation import OBJECTS, READERS, SPECIES, framed
from .phantom import PIXEL_SIZE_ANGSTROM

with logging_kept():
    import copick
    import numpy as np

pytestmark = pytest.mark.slow
FACTS = {
    "relion5": ["--tomograms-star", "tomograms.star"],
    "relion31": ["--tilt-series-pixel-size", "2.5", "--optics", "300,2.7,0.1", "--tomogram-files", "{name}.mrc"],
    "warp": [],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with the copies as picks, made by unmodified copick."""
    folder = tmp_path_factory.mktemp("copick")
    config = {
        "config_type": "filesystem",
        "name": "proof",
        "description": "an asymmetric object in known orientations",
        "version": "1.0.0",
        "pickable_objects": [{"name": SPECIES, "is_particle": True, "label": 1, "radius": 30.0}],
        "overlay_root": f"local://{folder / 'overlay'}",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    path = folder / "project.json"
    path.write_text(json.dumps(config))
    with logging_kept():
        root = copick.from_file(str(path))
    for name in OBJECTS:
        entry = framed(name)
        run = root.new_run(name)
        x, y, z = entry.frame.size_xyz or ()
        run.new_voxel_spacing(PIXEL_SIZE_ANGSTROM).new_tomogram("wbp").from_numpy(
            np.zeros((z, y, x), np.float32), levels=1
        )
        transforms = np.tile(np.eye(4), (len(entry.picks), 1, 1))
        transforms[:, :3, :3] = entry.picks.rotations
        run.new_picks(SPECIES, "1", "truth").from_numpy(entry.picks.positions_angstrom, transforms)
    return path


@pytest.mark.parametrize("dialect", READERS)
def test_exported_picks_average_to_the_object(tmp_path: Path, project: Path, dialect: str) -> None:
    reader = READERS[dialect]
    reader.prepare(tmp_path)
    command = [client_program("cryosiam"), "export", "--copick", project, "--picks", f"{SPECIES}:truth/1"]
    run_client([*command, "--to", dialect, *FACTS[dialect], "--out", tmp_path], tmp_path)
    assert (tmp_path / f"{SPECIES}_optimisation_set.star").exists() == (dialect == "relion5")
    found = reader.average(tmp_path, tmp_path / f"{SPECIES}.star")
    assert found.passes, found
