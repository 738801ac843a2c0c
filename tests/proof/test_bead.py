"""Beads at known places between voxels, picked and written, lie in the middle of the boxes other programs cut.

The bar is 0.1 voxel. Measured errors stand in benchmarks/hand-off.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
from scipy.ndimage import distance_transform_edt

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.geometry import binning_shift_angstrom
from cryosiam.integrations.relion.relion5 import Relion5Sink
from cryosiam.ports import ProductKey
from cryosiam.segmentation.instances import InstanceMaps, separate_instances

from .bead import BOX_VOXELS, CASES, Case, picked, relion5_errors, relion31_errors, warp_error
from .phantom import BEADS_XYZ, PIXEL_SIZE_ANGSTROM, SIZES_XYZ

BAR_VOXELS = 0.1
ids = [case.name for case in CASES]


def moved(picks: Picks, by_pixels_xyz: tuple[float, float, float]) -> Picks:
    return replace(picks, positions_angstrom=picks.positions_angstrom + np.array(by_pixels_xyz) * PIXEL_SIZE_ANGSTROM)


@pytest.mark.slow
def test_boxes_of_relion_5s_extraction_are_centred_on_the_beads(tmp_path: Path) -> None:
    sets = [picked(case, tmp_path) for case in CASES]
    errors = relion5_errors(tmp_path, sets, CASES)
    assert set(errors) == set(ids)
    assert max(errors.values()) < BAR_VOXELS, errors


@pytest.mark.slow
def test_half_a_pixel_too_far_fails_the_proof_of_relion_5(tmp_path: Path) -> None:
    case = Case("odd", 1, averaged=False)
    right = picked(case, tmp_path)
    wrong = replace(right, picks=moved(right.picks, (0.5, 0.0, 0.0)))
    assert relion5_errors(tmp_path, [wrong], [case])[case.name] > 4 * BAR_VOXELS


@pytest.mark.slow
@pytest.mark.parametrize("binning", BOX_VOXELS)
def test_boxes_of_relion_3_1_are_centred_on_the_beads(tmp_path: Path, binning: int) -> None:
    sets = [picked(case, tmp_path) for case in CASES if case.binning == binning]
    errors = relion31_errors(tmp_path, sets)
    assert max(errors) < BAR_VOXELS, errors


@pytest.mark.slow
def test_half_a_voxel_too_far_fails_the_proof_of_relion_3_1(tmp_path: Path) -> None:
    right = picked(Case("odd", 2, averaged=False), tmp_path)
    errors = relion31_errors(tmp_path, [replace(right, picks=moved(right.picks, (0.0, 0.0, 1.0)))])
    assert min(errors) > 4 * BAR_VOXELS


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_boxes_cut_by_warps_rules_are_centred_on_the_beads(tmp_path: Path, case: Case) -> None:
    right = picked(case, tmp_path)
    assert warp_error(tmp_path, right, case) < BAR_VOXELS
    for wrong in np.eye(3) * case.binning / 2:
        assert warp_error(tmp_path, replace(right, picks=moved(right.picks, tuple(wrong))), case) > 4 * BAR_VOXELS


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_ball_found_by_the_instance_separation_is_written_at_its_centre(tmp_path: Path, case: Case) -> None:
    """From segmentation to ``relion5/particles.star`` of `cryosiam pick`, without any other program."""
    x, y, z = BEADS_XYZ[1]
    voxels = [np.arange(size // case.binning, dtype=np.float32) for size in case.size_xyz[::-1]]
    first = (case.binning - 1) / 2 if case.averaged else 0.0
    k, j, i = np.meshgrid(*(first + case.binning * axis for axis in voxels), indexing="ij", sparse=True)
    distance = np.sqrt((i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2)
    ball = np.clip((14.5 - distance) / case.binning + 0.5, 0, 1)
    foreground = np.rint(255 * ball).astype(np.uint8)
    maps = InstanceMaps(foreground, np.zeros_like(foreground), distance_transform_edt(ball >= 0.5).astype(np.float32))
    voxel_size = PIXEL_SIZE_ANGSTROM * case.binning
    picks = separate_instances(maps, np.zeros(ball.shape, np.int32)).to_picks("TS_01", voxel_size, "bead")
    assert len(picks) == 1
    sink = Relion5Sink(
        tmp_path, None, PIXEL_SIZE_ANGSTROM, case.size_xyz, binned_by_averaging=case.frame.binned_by_averaging
    )
    key = ProductKey("cryosiam", "1")
    sink.write_picks(Tomogram("TS_01", ArrayVolume(foreground), voxel_size, "wbp", "memory"), picks, key)
    row = starfile.read(sink.finish(key)[0], always_dict=True)["particles"].iloc[0]
    centred = np.array([row[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"])
    found = centred / PIXEL_SIZE_ANGSTROM + np.array(SIZES_XYZ[case.parity]) / 2.0
    np.testing.assert_allclose(found, BEADS_XYZ[1], atol=BAR_VOXELS * case.binning)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_picks_lie_at_the_beads_in_pixels_of_the_tilt_series(tmp_path: Path, case: Case) -> None:
    """Nothing of this proof rests on a bad pick; averaging moves the frame by ``(n - 1) / 2`` pixels."""
    shift = binning_shift_angstrom(case.frame.binned_by_averaging, PIXEL_SIZE_ANGSTROM)
    found = (picked(case, tmp_path).picks.positions_angstrom + shift) / PIXEL_SIZE_ANGSTROM
    np.testing.assert_allclose(found, BEADS_XYZ, atol=0.005)
