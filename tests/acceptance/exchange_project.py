"""A copick project with picks of known places, for `export` and `import`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

SHAPE = (24, 40, 36)
VOXEL_SIZE_ANGSTROM = 10.0
PIXEL_SIZE_ANGSTROM = 2.5
UNBINNED_XYZ = (145, 160, 97)
"""Odd in x and z: a size that binning does not divide."""

TOMOGRAMS = """
data_global

loop_
_rlnTomoName #1
_rlnVoltage #2
_rlnSphericalAberration #3
_rlnAmplitudeContrast #4
_rlnTomoTiltSeriesPixelSize #5
_rlnTomoTomogramBinning #6
_rlnTomoSizeX #7
_rlnTomoSizeY #8
_rlnTomoSizeZ #9
_rlnTomoReconstructedTomogram #10
TS_01 300.0 2.7 0.1 2.5 4.0 145 160 97 Tomograms/job001/tomograms/rec_TS_01.mrc
TS_02 300.0 2.7 0.1 2.5 4.0 145 160 97 Tomograms/job001/tomograms/rec_TS_02.mrc
"""


def points(count: int, seed: int, oriented: bool = True) -> list[dict[str, Any]]:
    """Return copick points inside the tomogram, with shifts in the matrices where there are orientations."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(5, np.array(SHAPE[::-1]) * VOXEL_SIZE_ANGSTROM - 25, (count, 3))
    transforms = np.tile(np.eye(4), (count, 1, 1))
    if oriented:
        transforms[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
        transforms[:, :3, 3] = rng.normal(0, 2, (count, 3))
    return [
        {
            "location": dict(zip("xyz", place, strict=True)),
            "transformation_": transform,
            "instance_id": 100 * seed + number,
            "score": round(score, 6),
        }
        for number, (place, transform, score) in enumerate(
            zip(places.tolist(), transforms.tolist(), rng.uniform(0, 1, count).tolist(), strict=True), start=1
        )
    ]


def write_picks(
    project: Any,
    run: str,
    name: str,
    found: Sequence[dict[str, Any]],
    user: str = "cryosiam",
    session: str = "1",
    **changes: Any,
) -> Path:
    """Write a pick file as copick 1.x does."""
    path = Path(project.folder) / "overlay" / "ExperimentRuns" / run / "Picks" / f"{user}_{session}_{name}.json"
    path.parent.mkdir(exist_ok=True)
    content = {
        "pickable_object_name": name,
        "user_id": user,
        "session_id": session,
        "run_name": run,
        "voxel_spacing": None,
        "unit": "angstrom",
        "points": list(found),
        "trust_orientation": True,
        **changes,
    }
    path.write_text(json.dumps(content, indent=4))
    return path


RUNS = ("TS_01", "TS_02")


def exchange_project(make_project: Any) -> Any:
    """Return a project of two runs with picks of two species: ribosomes with orientations, apoferritin without."""
    project = make_project(shape=SHAPE, runs=0)
    for number, run in enumerate(RUNS, start=1):
        project.add_tomogram(run, np.zeros(SHAPE, np.float32))
        write_picks(project, run, "ribosome", points(7, number))
        write_picks(project, run, "apoferritin", points(5, 10 + number, oriented=False))
    entries = [
        {"name": name, "is_particle": True, "label": label, "radius": 60.0}
        for label, name in enumerate(("ribosome", "apoferritin"), start=1)
    ]
    project.write_config(pickable_objects=entries)
    (Path(project.folder) / "tomograms.star").write_text(TOMOGRAMS)
    return project


def read_with_copick(project: Any, run: str, name: str, user: str, session: str) -> dict[str, NDArray[Any]]:
    """Return what copick's own library reads."""
    import copick

    root = copick.from_file(str(project.config))
    found = root.get_run(run).get_picks(object_name=name, user_id=user, session_id=session)
    (picks,) = found
    positions, transforms = picks.numpy()
    return {
        "positions": positions + transforms[:, :3, 3],
        "rotations": transforms[:, :3, :3],
        "scores": np.asarray(picks.scores()),
        "instance_ids": np.asarray(picks.instance_ids()),
        "trusted": np.asarray(picks.trust_orientation),
    }
