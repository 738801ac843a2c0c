"""Species from MRC maps: scale, sign, voxel size, and what is refused."""

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.simulation.maps import read_map, species_from_map

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real maps are not at {DATA}")


def ball(radius, n=41, centre=None):
    z, y, x = np.indices((n, n, n)) - (n // 2 if centre is None else np.reshape(centre, (3, 1, 1, 1)))
    return 1 / (1 + np.exp((np.sqrt(x**2 + y**2 + z**2) - radius) * 2))


def write(path, values, voxel=5.0):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(values.astype(np.float32))
        file.voxel_size = voxel
    return path


def test_a_map_is_scaled_resampled_and_turned_right_way_up(tmp_path):
    path = write(tmp_path / "ball.mrc", -7 * ball(12) + 3, voxel=1.0)
    one = species_from_map(path, "ball", 10.0, map_voxel_size_angstrom=5.0, inverted=True, bulk_density=0.9)
    assert one.radius_angstrom == pytest.approx(62, abs=10)
    assert np.median(one.density[ndimage.binary_erosion(one.mask, iterations=2)]) == pytest.approx(0.9, abs=0.05)
    # 4/3 pi 60^3 Å3 of 0.9 of protein's density.
    assert one.mass_kda == pytest.approx(0.9 * 904.8 / 1.23, rel=0.06)


@pytest.mark.parametrize("voxel", [3.1, 6.8, 11.0])
def test_resampling_keeps_distances(tmp_path, voxel):
    values = ball(7, 61, (30, 30, 12)) + ball(7, 61, (30, 30, 48)) + ball(4, 61, (30, 30, 30)).clip(0.0)
    values += np.clip(1.0 - np.hypot(*(np.indices((61, 61, 61)) - 30)[:2]) / 3, 0, 1) * (
        abs(np.indices((61, 61, 61))[2] - 30) < 18
    )
    one = species_from_map(write(tmp_path / "bar.mrc", values), "bar", voxel)
    along = np.flatnonzero(one.mask.any((0, 1)))
    assert (along[-1] - along[0]) * voxel == pytest.approx(50 * 5.0, abs=1.5 * voxel)


def test_map_and_gz_endings_are_read_alike(tmp_path):
    plain = write(tmp_path / "ball.map", ball(8))
    zipped = tmp_path / "ball.map.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    first, second = (species_from_map(path, "ball", 7.0) for path in (plain, zipped))
    assert np.array_equal(first.density, second.density)


def test_of_two_bodies_side_by_side_the_larger_is_kept(tmp_path):
    values = ball(8, 61, (30, 30, 17)) + ball(7, 61, (30, 30, 45))
    one = species_from_map(write(tmp_path / "two.mrc", values), "two", 5.0)
    assert one.radius_angstrom == pytest.approx(42, abs=6)
    assert one.mass_kda == pytest.approx(4.19 * 8**3 * 125 / 1.23 / 1e3, rel=0.1)


def test_axes_in_another_order_are_put_right(tmp_path):
    values = ball(5, 21)
    values[:, :, :8] = 0
    path = write(tmp_path / "turned.mrc", values.transpose(2, 1, 0))
    with mrcfile.open(path, "r+") as file:
        file.header.mapc, file.header.maps = 3, 1
    assert np.allclose(read_map(path)[0], values, atol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("values", "voxel", "sentence"),
    [
        (np.ones((20, 20, 20)), 5.0, "is constant"),
        (np.where(ball(5, 21) > 0.5, np.nan, 0), 5.0, "not finite"),
        (np.where(ball(5, 21) > 0.5, np.inf, 0), 5.0, "not finite"),
        (ball(5, 21), 0.0, "no plausible voxel size"),
        (ball(5, 21), 1.0, "says 1 Å per voxel"),
        (ball(5, 21), (5.0, 5.0, 6.0), "which are no cubes"),
        (ball(5, 21)[10], 5.0, "is no density map"),
        (-1.0 * (ball(9, 21) > 0.5), 5.0, "set inverted"),
    ],
)
def test_maps_that_would_mislead_are_refused_in_one_sentence(tmp_path, values, voxel, sentence):
    path = write(tmp_path / "bad.mrc", values, voxel)
    with pytest.raises(InputError, match=sentence) as refused:
        species_from_map(path, "bad", 10.0)
    assert "\n" not in str(refused.value)


def test_files_that_are_no_maps_are_refused(tmp_path):
    junk, cut = tmp_path / "junk.mrc", tmp_path / "cut.mrc.gz"
    junk.write_bytes(b"not a map")
    cut.write_bytes(gzip.compress(write(tmp_path / "whole.mrc", ball(8)).read_bytes())[:3000])
    for path in (junk, cut):
        with pytest.raises(InputError, match="cannot be read as an MRC map"):
            species_from_map(path, "junk", 10.0)
    with pytest.raises(InputError, match="is not there"):
        species_from_map(tmp_path / "none.mrc", "none", 10.0)


@needs_data
def test_one_tric_is_taken_of_the_two_in_its_map():
    one = species_from_map(DATA / "maps" / "polnet_10A" / "4v94.mrc.gz", "tric", 6.8, bulk_density=0.85)
    assert one.mass_kda == pytest.approx(950, rel=0.1)
    assert one.radius_angstrom < 100


def lumps(places, radius, voxel=5.0, n=61):
    """Balls at places (x, y, z in Å)."""
    z, y, x = (np.indices((n, n, n)) - n // 2) * voxel
    distances = [np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) for a, b, c in places]
    return 1 / (1 + np.exp((np.min(distances, axis=0) - radius) * 0.4))


def ring(fold, radius, height, phase=0.0):
    angles = 2 * np.pi * np.arange(fold) / fold + phase
    return [(radius * np.cos(a), radius * np.sin(a), height) for a in angles]


@pytest.mark.parametrize(
    ("places", "group"),
    [
        ([(0, 0, 0), (40, 0, 0), (45, 40, 5), (45, 80, 30), (0, 10, 40)], "C1"),
        ([(55, 0, 10), (-55, 0, 10), (20, 5, 0), (-20, -5, 0), (30, 25, -20), (-30, -25, -20)], "C2"),
        (
            [*ring(5, 48, -45), *ring(5, 28, -15), *ring(5, 28, 20, 0.2), *ring(5, 28, 55, 0.4), *ring(5, 28, 90, 0.6)],
            "C5",
        ),
        ([place for z in (-60, -30, 0, 30, 60) for place in ring(7, 42, z, z / 150)], "D7"),
        ([(0, 0, 0)], "unknown"),
    ],
)
def test_a_map_s_symmetry_is_found(tmp_path, places, group):
    species = species_from_map(write(tmp_path / "lumps.mrc", lumps(places, 20.0)), "lumps", 5.0)
    assert species.symmetry == group


@needs_data
@pytest.mark.parametrize(
    ("file", "group"),
    [
        ("1f4a", "D2"),
        ("7n4y", "C2"),
        ("3j9i", "D7"),
        ("6utj", "C7"),
        ("6qzp", "C1"),
        ("2cg9", "C2"),
        ("3qm1", "unknown"),
    ],
)
def test_real_maps_have_their_symmetry(file, group):
    assert species_from_map(DATA / "maps" / "polnet_10A" / f"{file}.mrc.gz", "one", 6.8).symmetry == group


@needs_data
def test_a_map_and_the_atoms_it_was_made_of_agree():
    from cryosiam.simulation.structures import species_from_structure

    by_map = species_from_map(DATA / "maps" / "polnet_10A" / "3j9i.mrc.gz", "one", 10.0, bulk_density=0.78)
    by_atoms = species_from_structure(DATA / "structures" / "3j9i.pdb.gz", "one", 10.0)
    assert by_map.mass_kda == pytest.approx(by_atoms.mass_kda, rel=0.05)
    assert by_map.radius_angstrom == pytest.approx(by_atoms.radius_angstrom, abs=8)
    assert by_map.volume_voxels == pytest.approx(by_atoms.volume_voxels, rel=0.15)
