"""A bead at a known place, picked on a binned volume, written as STAR, lands in the middle of an extracted box.

The extractor is zarr-particle-tools, an independent implementation of RELION 5's; the tilt series is analytic:
``u = x cos(t) + z sin(t)``, ``v = y``, from the point that the extractor projects about. That is ``N / 2.0``, the
origin of the coordinates; RELION's own program projects about the voxel ``N // 2``, which is the same for even ``N``
and half an unbinned pixel less for odd ``N`` (docs/geometry.md).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, distance_transform_edt

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.geometry import binning_shift_angstrom, positions_from_indices
from cryosiam.integrations.mrc.sink import MrcSink
from cryosiam.integrations.mrc.source import MrcSource
from cryosiam.integrations.relion.picks_star import PicksStarSink
from cryosiam.integrations.relion.relion5 import Relion5Sink
from cryosiam.ports import ProductKey
from cryosiam.segmentation.instances import InstanceMaps, separate_instances

KEY = ProductKey("cryosiam", "7")
PIXEL_SIZE = 2.5
SIZES_XYZ = {"even": (128, 120, 64), "odd": (127, 121, 63)}
PLACE_XYZ = np.array([55.3, 66.8, 37.2])
SIGMA = 3.5
BINNINGS = (1, 2, 4)
TILTS_DEG = np.arange(-60, 61, 10.0)
IMAGE = 160
BOX, CROP = 48, 32


def bead_volume(size_xyz: tuple[int, int, int]) -> NDArray[np.float32]:
    axes = [np.exp(-((np.arange(n) - p) ** 2) / (2 * SIGMA**2)) for n, p in zip(size_xyz, PLACE_XYZ, strict=True)]
    return np.einsum("x,y,z->zyx", *axes).astype(np.float32)


def binned(volume: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    z, y, x = (size // n for size in volume.shape)
    return volume[: z * n, : y * n, : x * n].reshape(z, n, y, n, x, n).mean((1, 3, 5))


def picked(parity: str, binning: int, folder: Path) -> tuple[Tomogram, Picks]:
    """Write the binned volume, read it with our source, and pick its centre of mass."""
    voxel_size = PIXEL_SIZE * binning
    run = f"{parity}-{binning}"
    made = Tomogram(run, ArrayVolume(binned(bead_volume(SIZES_XYZ[parity]), binning)), voxel_size, "wbp", "memory")
    path = Path(MrcSink(folder).write_tomogram(made, KEY))
    path = path.rename(folder / f"{run}.mrc")
    tomogram = MrcSource([path]).tomogram(run)
    whole = (slice(0, tomogram.shape[0]), slice(0, tomogram.shape[1]), slice(0, tomogram.shape[2]))
    positions = positions_from_indices([center_of_mass(tomogram.volume.read(whole))], voxel_size)
    return tomogram, Picks(run, positions, np.ones(1), ("bead",))


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("parity", SIZES_XYZ)
def test_bead_in_picks_star(tmp_path: Path, parity: str, binning: int) -> None:
    tomogram, picks = picked(parity, binning, tmp_path)
    sink = PicksStarSink(tmp_path)
    sink.write_picks(tomogram, picks, KEY)
    row = starfile.read(sink.finish(KEY)[0], always_dict=True)["particles"].iloc[0]
    found = np.array([row[f"rlnCoordinate{axis}"] for axis in "XYZ"])
    # Voxels of the binned tomogram, whose first centre is (b - 1) / 2 unbinned voxels inside the tomogram.
    shift = binning_shift_angstrom(binning, PIXEL_SIZE) / PIXEL_SIZE
    np.testing.assert_allclose(found * binning + shift, PLACE_XYZ, atol=0.1)


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("parity", SIZES_XYZ)
def test_bead_found_by_the_instance_separation(tmp_path: Path, parity: str, binning: int) -> None:
    z, y, x = np.indices(SIZES_XYZ[parity][::-1], dtype=np.float32, sparse=True)
    distance = np.sqrt((x - PLACE_XYZ[0]) ** 2 + (y - PLACE_XYZ[1]) ** 2 + (z - PLACE_XYZ[2]) ** 2)
    ball = binned(np.clip(14.5 - distance, 0, 1), binning)
    foreground = np.rint(255 * ball).astype(np.uint8)
    maps = InstanceMaps(foreground, np.zeros_like(foreground), distance_transform_edt(ball >= 0.5).astype(np.float32))
    table = separate_instances(maps, np.zeros(ball.shape, np.int32))
    voxel_size = PIXEL_SIZE * binning
    picks = table.to_picks("TS_01", voxel_size, "bead")
    assert len(picks) == 1
    sink = Relion5Sink(tmp_path, None, PIXEL_SIZE, SIZES_XYZ[parity], binned_by_averaging=binning)
    sink.write_picks(Tomogram("TS_01", ArrayVolume(foreground), voxel_size, "wbp", "memory"), picks, KEY)
    row = starfile.read(sink.finish(KEY)[0], always_dict=True)["particles"].iloc[0]
    centred = np.array([row[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"])
    found = centred / PIXEL_SIZE + np.array(SIZES_XYZ[parity]) / 2.0
    np.testing.assert_allclose(found, PLACE_XYZ, atol=0.1 * binning)


def write_stack(folder: Path, parity: str) -> Path:
    """Write analytic projections of the bead."""
    x, y, z = PLACE_XYZ - np.array(SIZES_XYZ[parity]) / 2.0
    angles = np.deg2rad(TILTS_DEG)
    u = IMAGE / 2 + x * np.cos(angles) + z * np.sin(angles)
    v = IMAGE / 2 + y
    grid = np.arange(IMAGE)
    images = np.exp(-((grid[None, None] - u[:, None, None]) ** 2 + (grid[None, :, None] - v) ** 2) / (2 * SIGMA**2))
    stack = folder / f"{parity}.mrcs"
    with mrcfile.new(stack, data=images.astype(np.float32)) as file:
        file.voxel_size = PIXEL_SIZE
        file.set_image_stack()
    return stack


def write_tilt_star(folder: Path, run: str, stack: Path) -> Path:
    """Write RELION's table of the tilt images of ``run``."""
    columns = [
        "rlnMicrographName",
        "rlnTomoXTilt",
        "rlnTomoYTilt",
        "rlnTomoZRot",
        "rlnTomoXShiftAngst",
        "rlnTomoYShiftAngst",
        "rlnDefocusU",
        "rlnDefocusV",
        "rlnDefocusAngle",
        "rlnCtfScalefactor",
        "rlnMicrographPreExposure",
        "rlnTomoNominalStageTiltAngle",
    ]
    rows = [
        f"{number}@{stack} 0 {tilt} 0 0 0 20000 20000 0 1 {3 * number} {tilt}"
        for number, tilt in enumerate(TILTS_DEG, start=1)
    ]
    return star(folder / f"{run}_tilts.star", run, columns, rows)


def star(path: Path, block: str, columns: list[str], rows: list[str]) -> Path:
    labels = [f"_{name} #{number}" for number, name in enumerate(columns, start=1)]
    path.write_text("\n".join([f"data_{block}", "", "loop_", *labels, *rows, ""]))
    return path


def write_tomograms_star(folder: Path) -> Path:
    columns = [
        "rlnTomoName",
        "rlnTomoTiltSeriesStarFile",
        "rlnVoltage",
        "rlnSphericalAberration",
        "rlnAmplitudeContrast",
        "rlnMicrographOriginalPixelSize",
        "rlnTomoHand",
        "rlnOpticsGroupName",
        "rlnTomoTiltSeriesPixelSize",
        "rlnTomoTomogramBinning",
        "rlnTomoSizeX",
        "rlnTomoSizeY",
        "rlnTomoSizeZ",
    ]
    rows = []
    for parity, size in SIZES_XYZ.items():
        stack = write_stack(folder, parity)
        for binning in BINNINGS:
            run = f"{parity}-{binning}"
            tilts = write_tilt_star(folder, run, stack)
            rows.append(
                f"{run} {tilts} 300 2.7 0.1 {PIXEL_SIZE} -1 optics {PIXEL_SIZE} {binning} "
                + " ".join(str(n) for n in size)
            )
    return star(folder / "tomograms.star", "global", columns, rows)


def bead_offsets(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how far (x, y) the bead is from the middle of each box."""
    middle = CROP // 2
    offsets = []
    for box in boxes:
        weights = np.clip(box - np.median(box), 0, None)
        weights[weights < 0.05 * weights.max()] = 0
        y, x = center_of_mass(weights)
        offsets.append((x - middle, y - middle))
    return np.array(offsets)


@pytest.mark.slow
def test_bead_lands_in_the_middle_of_extracted_boxes(tmp_path: Path) -> None:
    program = shutil.which("zarr-particle-extract")
    if program is None:
        pytest.skip("zarr-particle-tools is not installed: the independent extractor of this test")
    tomograms_star = write_tomograms_star(tmp_path)
    out = tmp_path / "extracted"
    for binning in BINNINGS:
        sink = Relion5Sink(tmp_path / str(binning), tomograms_star, binned_by_averaging=binning)
        for parity in SIZES_XYZ:
            sink.write_picks(*picked(parity, binning, tmp_path), KEY)
        (particles,) = sink.finish(KEY)
        command = [program, "local", "--particles-starfile", particles, "--tomograms-starfile", str(tomograms_star)]
        command += ["--box-size", str(BOX), "--crop-size", str(CROP), "--bin", "1", "--no-ctf", "--no-circle-crop"]
        command += ["--no-ic", "--output-dir", str(out / str(binning)), "--overwrite"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    stacks = sorted(out.rglob("*.mrcs"))
    assert len(stacks) == len(SIZES_XYZ) * len(BINNINGS)
    for stack in stacks:
        offsets = bead_offsets(mrcfile.read(stack))
        assert len(offsets) == len(TILTS_DEG)
        assert np.abs(offsets).max() < 0.1, f"{stack}: {offsets}"
