"""Plain MRC files: other voxel sizes, inverted contrast, volumes smaller than a tile, and a bead through STAR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray
from scipy.spatial import cKDTree

SHAPE = (40, 48, 56)
RADIUS_ANGSTROM = 55.0


def centres_angstrom(voxel_size: float) -> NDArray[np.float64]:
    """Return centres (z, y, x) of three balls in Å, the same for every voxel size."""
    far = (np.array(SHAPE) - 1) * voxel_size
    return far * np.array([[0.5, 0.3, 0.3], [0.45, 0.7, 0.3], [0.55, 0.45, 0.75]])


@pytest.fixture
def tomogram(tmp_path: Path, ball_volume: Any, mrc: Any) -> Any:
    """Return a function that writes a tomogram of three balls."""

    def write(voxel_size: float, sign: float = 1.0, name: str = "TS_01.mrc") -> Path:
        centres = centres_angstrom(voxel_size) / voxel_size
        volume = ball_volume(SHAPE, centres, np.full(3, RADIUS_ANGSTROM / voxel_size))
        path: Path = mrc(tmp_path / name, np.float32(sign) * volume, voxel_size)
        return path

    return write


def picks_angstrom(out: Path, voxel_size: float) -> NDArray[np.float64]:
    """Return the picks of ``picks.star`` in Å (x, y, z)."""
    table = starfile.read(out / "picks.star")
    found: NDArray[np.float64] = np.stack([table[f"rlnCoordinate{axis}"] for axis in "XYZ"], axis=1) * voxel_size
    return found


@pytest.mark.parametrize("voxel_size", [10.0, 13.3, 7.9])
def test_results_are_on_the_grid_of_the_input(
    tomogram: Any, weights: Path, call: Any, tmp_path: Path, voxel_size: float
) -> None:
    path, out = tomogram(voxel_size), tmp_path / "out"
    result = call("pick", "--mrc", path, "--out", out, "--weights", weights)
    assert result.returncode == 0, result.stderr
    true = centres_angstrom(voxel_size)
    distances, _ = cKDTree(picks_angstrom(out, voxel_size)).query(true[:, ::-1])
    assert distances.max() < 2.0
    assert ("resampled" in result.stdout) == (voxel_size != 10.0)
    labels = {path.name: mrcfile.read(path) for path in (out / "cryosiam-1").glob("*.mrc")}
    assert set(labels) == {
        "TS_01_mrc-denoised-cryosiam-1.mrc",
        "TS_01_semantic.mrc",
        "TS_01_instances-particle.mrc",
    }
    grid = np.indices(SHAPE).reshape(3, -1).T * voxel_size
    inside = (np.linalg.norm(grid[:, None] - true, axis=2).min(axis=1) < RADIUS_ANGSTROM).reshape(SHAPE)
    for volume in labels.values():
        assert volume.shape == SHAPE
    ids = labels["TS_01_instances-particle.mrc"]
    overlap = 2 * (inside & (ids > 0)).sum() / (inside.sum() + (ids > 0).sum())
    assert overlap > 0.75
    denoised = labels["TS_01_mrc-denoised-cryosiam-1.mrc"]
    assert denoised[inside].mean() < denoised[~inside].mean() - 1.0


def test_inverted_contrast_is_found_corrected_and_said(tomogram: Any, weights: Path, call: Any, tmp_path: Path) -> None:
    dark, bright = tomogram(10.0), tomogram(10.0, sign=-1.0, name="TS_02.mrc")
    out = tmp_path / "out"
    result = call("pick", "--mrc", dark, "--mrc", bright, "--out", out, "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert "TS_02: protein is bright" in result.stderr
    assert "TS_01: protein is bright" not in result.stderr
    table = starfile.read(out / "picks.star")
    columns = [f"rlnCoordinate{axis}" for axis in "XYZ"]
    first, second = (table[table["rlnTomoName"] == run][columns].to_numpy() for run in ("TS_01", "TS_02"))
    np.testing.assert_allclose(np.sort(first, axis=0), np.sort(second, axis=0), atol=0.02)
    denoised = mrcfile.read(out / "cryosiam-1" / "TS_02_mrc-denoised-cryosiam-1.mrc")
    middle = tuple(np.rint(centres_angstrom(10.0)[0] / 10.0).astype(int))
    assert denoised[middle] > 1.0


def test_contrast_given_by_the_user_is_taken(tomogram: Any, weights: Path, call: Any, tmp_path: Path) -> None:
    path, out = tomogram(10.0), tmp_path / "out"
    result = call("pick", "--mrc", path, "--out", out, "--weights", weights, "--contrast", "bright")
    assert result.returncode == 0, result.stderr
    assert "protein is bright here (given by --contrast)" in result.stdout
    # The balls are dark: told the opposite, the network sees nothing like a particle there.
    assert not (out / "picks.star").exists()


def test_a_lost_product_in_a_relative_folder_is_made_again(
    weights: Path, call: Any, tmp_path: Path, mrc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mrc(tmp_path / "tiny.mrc", np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32))
    options = ("denoise", "--mrc", "tiny.mrc", "--out", "out", "--weights", weights)
    assert call(*options).returncode == 0
    (product,) = (tmp_path / "out" / "cryosiam-1").glob("*.mrc")
    product.unlink()
    assert call(*options).returncode == 0
    assert product.exists()


def test_volume_of_a_few_voxels(weights: Path, call: Any, tmp_path: Path, mrc: Any) -> None:
    volume = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    path = mrc(tmp_path / "tiny.mrc", volume)
    result = call("pick", "--mrc", path, "--out", tmp_path / "out", "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "tiny.png").exists()


@pytest.mark.parametrize("binning", [1, 2, 4])
@pytest.mark.parametrize("remainder", [0, 1])
def test_bead_through_pick_and_star(
    weights: Path, call: Any, tmp_path: Path, ball_volume: Any, mrc: Any, binning: int, remainder: int
) -> None:
    """A bead at a known place of the unbinned tomogram comes back there by RELION's own formula."""
    unbinned_zyx = np.array([28, 33, 36]) * binning + remainder
    pixel_size = 10.0 / binning
    bead_zyx = unbinned_zyx * np.array([0.46, 0.55, 0.41])
    shape = tuple(int(size) for size in unbinned_zyx // binning)
    path = mrc(tmp_path / "bead.mrc", ball_volume(shape, bead_zyx[None] / binning, np.array([5.0])))
    size = ",".join(str(n) for n in unbinned_zyx[::-1])
    options = ("--tomogram-size", size, "--tilt-series-pixel-size", pixel_size, "--out", tmp_path / "out")
    result = call("pick", "--mrc", path, "--weights", weights, *options)
    assert result.returncode == 0, result.stderr
    tables = starfile.read(tmp_path / "out" / "relion5" / "particles.star", always_dict=True)
    row = tables["particles"].iloc[0]
    assert len(tables["particles"]) == 1
    centred = np.array([row[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"])
    # RELION: position in unbinned pixels is the centred coordinate over the pixel size, plus half the size.
    found_zyx = (centred / pixel_size + unbinned_zyx[::-1] / 2.0)[::-1]
    assert np.abs(found_zyx - bead_zyx).max() / binning < 0.1
    picked = picks_angstrom(tmp_path / "out", 10.0)[0][::-1] / 10.0
    assert np.abs(picked * binning - bead_zyx).max() / binning < 0.1


@pytest.mark.parametrize(("binning", "remainder"), [(2, 1), (3, 0)])
def test_bead_in_a_tomogram_binned_by_averaging(
    weights: Path, call: Any, tmp_path: Path, ball_volume: Any, mrc: Any, binning: int, remainder: int
) -> None:
    """RELION's coordinates are those of the tomogram before its voxels were averaged, where the user says so."""
    shape = np.array([28, 33, 36]) * binning
    unbinned_zyx = shape + remainder
    bead_zyx = unbinned_zyx * np.array([0.46, 0.55, 0.41])
    unbinned = ball_volume(tuple(unbinned_zyx.tolist()), bead_zyx[None], np.array([5.0 * binning]))
    z, y, x = shape // binning
    cropped = unbinned[: shape[0], : shape[1], : shape[2]]
    averaged = cropped.reshape(z, binning, y, binning, x, binning).mean((1, 3, 5))
    path = mrc(tmp_path / "bead.mrc", averaged)
    size = ",".join(str(n) for n in unbinned_zyx[::-1])
    options = ("--tomogram-size", size, "--tilt-series-pixel-size", 10.0 / binning, "--out", tmp_path / "out")
    result = call("pick", "--mrc", path, "--weights", weights, *options, "--binned-by-averaging", binning)
    assert result.returncode == 0, result.stderr
    table = starfile.read(tmp_path / "out" / "relion5" / "particles.star", always_dict=True)["particles"]
    assert len(table) == 1
    centred = np.array([table[f"rlnCenteredCoordinate{axis}Angst"].iloc[0] for axis in "XYZ"])
    found_zyx = (centred * binning / 10.0 + unbinned_zyx[::-1] / 2.0)[::-1]
    assert np.abs(found_zyx - bead_zyx).max() / binning < 0.1
