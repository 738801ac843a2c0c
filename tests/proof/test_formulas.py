"""Programs that cannot run here: their coordinate rules as they were measured with the real programs, by hand.

RELION 4 adds 1 to the coordinates it reads (ParticleSet::getPosition, tag 4.0.2) and its tomograms start at pixel 1
(relion_tomo_reconstruct_tomogram, --x0 1), so voxel ``i`` of a tomogram binned ``b`` times lies where a coordinate
``i * b`` is read. RELION 5's Import job takes the same centred coordinates from files of one block. M reads the places
and angles that Warp reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
from numpy.typing import NDArray

from cryosiam.geometry import relion_euler_deg, rotations_from_dynamo_euler
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import write_particles

from ..oracles import warp_star  # noqa: TID252 - tests are no package
from .bead import CASES, Case, picked
from .orientation import OBJECTS, framed
from .phantom import BEADS_XYZ, PIXEL_SIZE_ANGSTROM

cases = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def coordinates(path: Path, pattern: str) -> NDArray[np.float64]:
    tables = starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName"])
    rows = next(iter(tables.values()))
    return rows[[pattern.format(axis) for axis in "XYZ"]].to_numpy(float)


@cases
def test_relion_4_takes_the_place_of_the_bead(tmp_path: Path, case: Case) -> None:
    (path,) = write_particles(tmp_path, load_dialect("relion4"), [picked(case, tmp_path)]).paths[:1]
    position = coordinates(path, "rlnCoordinate{}") + 1
    first_pixel = 1
    np.testing.assert_allclose(position - first_pixel, BEADS_XYZ, atol=0.01)


@cases
def test_relion_5s_import_takes_the_place_of_the_bead(tmp_path: Path, case: Case) -> None:
    paths = write_particles(tmp_path, load_dialect("relion5-import"), [picked(case, tmp_path)]).paths
    centred = coordinates(paths[0], "rlnCenteredCoordinate{}Angst")
    place = centred / PIXEL_SIZE_ANGSTROM + np.array(case.size_xyz) / 2.0
    np.testing.assert_allclose(place, BEADS_XYZ, atol=0.01)
    listed = starfile.read(paths[-1], always_dict=True)["coordinate_files"]["rlnTomoImportParticleFile"]
    assert [tmp_path / name for name in listed] == paths[:-1]


@pytest.mark.parametrize("dialect", ["warp", "m"])
def test_m_takes_the_poses_that_warp_takes(tmp_path: Path, dialect: str) -> None:
    entry = framed(next(iter(OBJECTS)))
    path = write_particles(tmp_path, load_dialect(dialect), [entry]).paths[0]
    read = warp_star.read_particles(path, PIXEL_SIZE_ANGSTROM)
    assert read.angles_deg is not None
    np.testing.assert_allclose(read.positions_angstrom, entry.picks.positions_angstrom, atol=1e-4)
    matrices = [warp_star.rotation(*angles) for angles in read.angles_deg]
    np.testing.assert_allclose(matrices, entry.picks.rotations, atol=1e-5)


def test_dynamos_angles_are_those_of_an_independent_converter() -> None:
    """Pairs of Dynamo's and RELION's angles from the package eulerangles 1.0.2, which converts tables for dynamo2m."""
    rotations = rotations_from_dynamo_euler([[10.0, 20.0, 30.0], [100.0, 70.0, -40.0]])
    np.testing.assert_allclose(relion_euler_deg(rotations), [[-60, 20, 100], [-130, 70, -170]], atol=1e-9)


@pytest.mark.parametrize("dialect", ["relion5", "relion4", "relion31"])
def test_the_angles_are_the_same_in_every_version_of_relion(tmp_path: Path, dialect: str) -> None:
    """``A(rlnAngle*)`` alone is the orientation: no column turns the subtomogram before it."""
    entry = framed(next(iter(OBJECTS)))
    path = write_particles(tmp_path, load_dialect(dialect), [entry]).paths[0]
    tables = starfile.read(path, always_dict=True)
    rows = tables.get("particles", next(iter(tables.values())))
    assert not [name for name in rows.columns if name.startswith("rlnTomoSubtomogram")]
    matrices = [
        warp_star.rotation(*angles) for angles in rows[[f"rlnAngle{n}" for n in ("Rot", "Tilt", "Psi")]].to_numpy()
    ]
    np.testing.assert_allclose(matrices, entry.picks.rotations, atol=1e-5)
