"""Density under the particles: the mistakes it shows, and silence where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from cryosiam.errors import InputError
from cryosiam.integrations.star.check.density import Particles, likely_mistake, weigh
from cryosiam.integrations.star.check.finding import Program
from cryosiam.integrations.star.check.offset import offset_of
from cryosiam.integrations.star.check.report import check_star
from cryosiam.integrations.star.check.volumes import OpenVolume, open_volume

VOXEL_SIZE = 10.0
SIZE_XYZ = np.array([120, 110, 60])
COUNT = 60
MOVED = np.array([3.0, 0.0, -2.0])


@pytest.fixture(scope="module")
def true_voxels() -> NDArray[np.float64]:
    """Places of balls, (x, y, z) in voxels, well apart and away from the edge."""
    rng = np.random.default_rng(3)
    places: list[NDArray[np.float64]] = []
    while len(places) < COUNT:
        place = rng.uniform(14, SIZE_XYZ - 15)
        if all(np.linalg.norm(place - other) > 11 for other in places):
            places.append(place)
    return np.array(places)


@pytest.fixture(scope="module")
def volume(true_voxels: NDArray[np.float64], tmp_path_factory: pytest.TempPathFactory) -> OpenVolume:
    """A noisy tomogram of balls darker than the rest."""
    rng = np.random.default_rng(4)
    voxels = rng.normal(0, 1, SIZE_XYZ[::-1])
    for place in true_voxels:
        x, y, z = (np.exp(-(((np.arange(size) - at) / 4.0) ** 2)) for size, at in zip(SIZE_XYZ, place, strict=True))
        voxels -= 0.8 * z[:, None, None] * y[:, None] * x
    path = tmp_path_factory.mktemp("density") / "TS_1.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(voxels.astype(np.float32))
        mrc.voxel_size = VOXEL_SIZE
    return open_volume(path)


def particles(volume: OpenVolume, voxels: NDArray[np.float64], from_centre: bool = False) -> list[Particles]:
    return [Particles(volume, voxels * VOXEL_SIZE, from_centre, 4.0, VOXEL_SIZE / 4)]


MISTAKES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mirrored along z": lambda v: np.column_stack([v[:, :2], SIZE_XYZ[2] - 1 - v[:, 2]]),
    "mirrored along x": lambda v: np.column_stack([SIZE_XYZ[0] - 1 - v[:, 0], v[:, 1:]]),
    "with x and y exchanged": lambda v: v[:, [1, 0, 2]],
    "multiplied by 2": lambda v: v / 2,
    "multiplied by 0.5": lambda v: v * 2,
    "multiplied by 4": lambda v: v / 4,
    "moved by half the tomogram's size away from 0": lambda v: v - SIZE_XYZ / 2,
    "moved by half the tomogram's size towards 0": lambda v: v + SIZE_XYZ / 2,
    "turned by 90 degrees about x": lambda v: np.column_stack([v[:, 0], SIZE_XYZ[2] - 1 - v[:, 2], v[:, 1]]),
}


@pytest.mark.parametrize("reading", MISTAKES)
def test_mistake_is_named(volume: OpenVolume, true_voxels: NDArray[np.float64], reading: str) -> None:
    found = likely_mistake(weigh(particles(volume, MISTAKES[reading](true_voxels))))
    assert found is not None
    assert found.reading == reading


def test_right_places_raise_no_alarm(volume: OpenVolume, true_voxels: NDArray[np.float64]) -> None:
    evidence = weigh(particles(volume, true_voxels))
    assert evidence[0].strength > 6
    assert evidence[0].z < 0
    assert likely_mistake(evidence) is None


def test_brighter_particles_count_as_much(volume: OpenVolume, true_voxels: NDArray[np.float64]) -> None:
    bright = replace(volume, voxels=-np.asarray(volume.voxels))
    assert weigh(particles(bright, true_voxels))[0].z > 6
    found = likely_mistake(weigh(particles(bright, MISTAKES["mirrored along z"](true_voxels))))
    assert found is not None
    assert found.reading == "mirrored along z"


def test_places_without_density_raise_no_alarm(volume: OpenVolume) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert likely_mistake(weigh(particles(volume, rng.uniform(0, SIZE_XYZ, (COUNT, 3))))) is None


def test_few_particles_say_nothing(volume: OpenVolume, true_voxels: NDArray[np.float64]) -> None:
    assert weigh(particles(volume, true_voxels[:5])) == []


def test_offset_is_measured(volume: OpenVolume, true_voxels: NDArray[np.float64]) -> None:
    right = offset_of(particles(volume, true_voxels))
    assert right is not None
    assert np.linalg.norm(right.angstrom) < 0.3 * VOXEL_SIZE
    assert not right.is_sure
    moved = offset_of(particles(volume, true_voxels + MOVED))
    assert moved is not None
    assert moved.is_sure
    np.testing.assert_allclose(moved.angstrom, -MOVED * VOXEL_SIZE, atol=0.4 * VOXEL_SIZE)


def test_no_offset_without_density(volume: OpenVolume) -> None:
    rng = np.random.default_rng(0)
    assert offset_of(particles(volume, rng.uniform(14, SIZE_XYZ - 15, (COUNT, 3)))) is None


def centred_star(folder: Path, voxels: NDArray[np.float64]) -> Path:
    rows = (voxels - SIZE_XYZ / 2) * VOXEL_SIZE
    labels = "".join(f"_rlnCenteredCoordinate{axis}Angst #{n}\n" for n, axis in enumerate("XYZ", start=2))
    lines = "".join(f"TS_1 {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in rows)
    path = folder / "particles.star"
    path.write_text(f"\ndata_particles\n\nloop_\n_rlnTomoName #1\n{labels}{lines}")
    return path


def tomograms_star(folder: Path, file: Path, size: NDArray[np.int64] = SIZE_XYZ) -> Path:
    names = (
        "rlnTomoName",
        "rlnVoltage",
        "rlnSphericalAberration",
        "rlnAmplitudeContrast",
        "rlnTomoTiltSeriesPixelSize",
    )
    names += ("rlnTomoTomogramBinning", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ", "rlnTomoReconstructedTomogram")
    labels = "".join(f"_{name} #{n}\n" for n, name in enumerate(names, start=1))
    x, y, z = size * 4
    path = folder / "tomograms.star"
    path.write_text(f"\ndata_global\n\nloop_\n{labels}TS_1 300 2.7 0.1 {VOXEL_SIZE / 4} 4 {x} {y} {z} {file}\n")
    return path


def test_report_names_the_mistake(volume: OpenVolume, true_voxels: NDArray[np.float64], tmp_path: Path) -> None:
    star = centred_star(tmp_path, MISTAKES["mirrored along z"](true_voxels))
    tomograms = tomograms_star(tmp_path, volume.path)
    finding = next(f for f in check_star(star, Program.RELION5, tomograms).findings if f.rule == "density-elsewhere")
    assert "mirrored along z" in finding.found
    sound = check_star(centred_star(tmp_path, true_voxels), Program.RELION5, tomograms)
    assert sound.is_fine, [finding.says for finding in sound.findings]
    assert sound.evidence[0].strength > 6


def test_tomogram_can_be_given_by_its_file(
    volume: OpenVolume, true_voxels: NDArray[np.float64], tmp_path: Path
) -> None:
    star = centred_star(tmp_path, MISTAKES["mirrored along x"](true_voxels))
    found = check_star(star, Program.RELION5, tomogram_files=[volume.path]).findings
    assert "density-elsewhere" in {finding.rule for finding in found}
    other = tmp_path / "absent.mrc"
    with pytest.raises(InputError, match=r"no file .*absent\.mrc"):
        check_star(star, Program.RELION5, tomogram_files=[other])


def test_offset_and_size_are_reported(volume: OpenVolume, true_voxels: NDArray[np.float64], tmp_path: Path) -> None:
    star = centred_star(tmp_path, true_voxels + MOVED)
    found = check_star(star, Program.RELION5, tomograms_star(tmp_path, volume.path)).findings
    assert "density-beside" in {finding.rule for finding in found}
    larger = tomograms_star(tmp_path, volume.path, SIZE_XYZ + 20)
    assert "tomogram-of-other-size" in {f.rule for f in check_star(star, Program.RELION5, larger).findings}
