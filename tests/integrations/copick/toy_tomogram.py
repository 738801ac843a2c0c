"""A small tomogram with known contents, and ways to look at what was written."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosiam.domain import MissingWedge, Picks
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.simulation.microscope.series import SimulatedTiltSeries
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

SHAPE = (20, 24, 31)
VOXEL = 7.5
RECIPE = {
    "name": "toy",
    "shape_zyx": list(SHAPE),
    "voxel_size_angstrom": VOXEL,
    "specimen": {"slab": {"thickness_nm": 10}, "occupancy": [0.1, 0.2]},
}
SPEC = SimulationSpec.model_validate(RECIPE)


def make_specimen() -> Specimen:
    rng = np.random.default_rng(1)
    instances = np.zeros(SHAPE, np.int32)
    instances[5:9, 5:9, 5:9] = 1
    instances[5:9, 5:9, 9:13] = 2
    instances[10:15, 15:20, 20:27] = 3
    scaffold = np.zeros(SHAPE, np.uint16)
    scaffold[2, :, 2:4] = 1
    scaffold[17, 12, :] = 2
    semantic = np.where(instances > 0, 2, 0).astype(np.uint8)
    semantic[scaffold == 1] = 1
    semantic[scaffold == 2] = 4
    picks = Picks(
        "",
        positions_angstrom=np.array([[48.75, 48.75, 48.75], [78.75, 48.75, 48.75], [172.5, 127.5, 90.0]]),
        scores=np.array([1.0, 1.0, 0.875]),
        class_names=("ribosome", "ribosome", "proteasome"),
        instance_ids=np.arange(1, 4),
        rotations=Rotation.random(3, rng=np.random.default_rng(2)).as_matrix(),
    )
    return Specimen(
        voxel_size_angstrom=VOXEL,
        density=rng.normal(size=SHAPE).astype(np.float32),
        unlabelled=np.zeros(SHAPE, np.float32),
        semantic=semantic,
        instances=instances,
        scaffold=scaffold,
        scaffold_kinds=("sheet", "actin"),
        sample_mask=np.indices(SHAPE)[0] > 3,
        picks=picks,
        radii_angstrom={"ribosome": 120.0, "proteasome": 60.0, "absent": 30.0},
        occupancy=0.25,
        shortfall="no more fit",
    )


def make_series(whole: bool = True) -> SimulatedTiltSeries:
    rng = np.random.default_rng(3)
    tilts = np.arange(-60.0, 61.0, 30.0)
    halves = tuple(rng.poisson(60, (5, 24, 36)).astype(np.float32) + (0.0 if whole else 0.25) for _ in range(2))
    return SimulatedTiltSeries(
        images=halves[0] + halves[1],
        pixel_size_angstrom=VOXEL,
        tilt_angles_deg=tilts,
        exposure_index=np.array([4, 2, 0, 1, 3]),
        dose_per_tilt=3.0,
        prior_dose=3.0 * np.array([4.0, 2.0, 0.0, 1.0, 3.0]),
        defocus_um=rng.normal(3.0, 0.1, 5),
        astigmatism_um=0.05,
        astigmatism_deg=30.0,
        phase_shift_deg=np.zeros(5),
        shifts_angstrom=rng.normal(0, 10, (5, 2)),
        rotations_deg=rng.normal(0, 2, 5),
        magnifications=1 + rng.normal(0, 0.01, 5),
        halves=(halves[0], halves[1]),
    )


def make_tomogram(seed: int = 7) -> SimulatedTomogram:
    rng = np.random.default_rng(seed)

    def volume() -> NDArray[np.float32]:
        return rng.normal(size=SHAPE).astype(np.float32)

    return SimulatedTomogram(
        spec=SPEC.for_seed(seed),
        seed=seed,
        specimen=make_specimen(),
        noisy=volume(),
        wedge=MissingWedge(-60.0, 60.0),
        corrected=volume(),
        halves=(volume(), volume()),
        series=make_series(),
    )


def open_with_copick(folder: Path) -> Any:
    with logging_kept():
        import copick

        return copick.from_file(str(folder / "project.json"))


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
