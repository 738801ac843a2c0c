from pathlib import Path

import mrcfile
import numpy as np
import pytest
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.simulation import (
    builtin_species,
    species_from_density,
    species_from_map,
    species_from_structure,
    training_species,
)

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real structures are not at {DATA}")


def mass_kda(species, voxel_size=10.0):
    """Protein of this much contrast: 1 Da per 1.23 Å³."""
    return species.density.sum() * voxel_size**3 / 1.23 / 1e3


def ball(radius, n=41):
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return 1 / (1 + np.exp((np.sqrt(x**2 + y**2 + z**2) - radius) * 2))


@pytest.mark.parametrize("voxel_size", [7.84, 10.0, 13.3])
def test_builtin_species_are_centred_and_fit_their_cube(voxel_size):
    species = builtin_species(voxel_size)
    assert len({s.name for s in species}) == len(species) >= 6
    for one in species:
        half = one.density.shape[0] // 2
        assert "_" not in one.name
        assert one.density.shape == (2 * half + 1,) * 3
        assert np.allclose(ndimage.center_of_mass(one.mask), half, atol=0.3)
        assert one.radius_angstrom < (half - 1) * voxel_size
        assert 0.9 < np.percentile(one.density[one.mask], 99) < 1.4


def test_density_does_not_depend_on_the_voxel_size():
    coarse, fine = builtin_species(14.0), builtin_species(7.0)
    for a, b in zip(coarse, fine, strict=True):
        assert a.name == b.name
        assert mass_kda(a, 14.0) == pytest.approx(mass_kda(b, 7.0), rel=0.03)


def test_a_shell_is_filled_though_it_has_pores():
    shell = np.clip(ball(14) - ball(9), 0, 1)
    shell[:, 19:22, 19:22] = 0
    one = species_from_density("shell", shell, 10.0)
    half = one.mask.shape[0] // 2
    assert one.mask[half, half, half]


def test_a_map_is_scaled_resampled_and_turned_right_way_up(tmp_path):
    path = tmp_path / "ball.mrc"
    with mrcfile.new(path) as file:
        file.set_data((-7 * ball(12)).astype(np.float32))
        file.voxel_size = 1.0
    one = species_from_map(path, "ball", 10.0, map_voxel_size_angstrom=5.0, inverted=True, bulk_density=0.9)
    assert one.radius_angstrom == pytest.approx(62, abs=10)
    assert np.median(one.density[ndimage.binary_erosion(one.mask, iterations=2)]) == pytest.approx(0.9, abs=0.05)


def test_files_that_are_no_maps_or_structures_are_refused_in_one_sentence(tmp_path):
    bad = tmp_path / "bad.mrc"
    bad.write_bytes(b"not a map")
    with pytest.raises(InputError, match=r"bad\.mrc cannot be read as an MRC map"):
        species_from_map(bad, "bad", 10.0)
    empty = tmp_path / "empty.pdb"
    empty.write_text("END\n")
    with pytest.raises(InputError, match=r"empty\.pdb holds no atom"):
        species_from_structure(empty, "empty", 10.0)
    with pytest.raises(InputError, match="is missing"):
        training_species(tmp_path)


def test_names_with_underscores_and_empty_densities_are_refused():
    with pytest.raises(ValueError, match="underscore"):
        species_from_density("a_b", ball(5), 10.0)
    with pytest.raises(ValueError, match="no voxel"):
        species_from_density("void", np.zeros((9, 9, 9)), 10.0)


@needs_data
@pytest.mark.parametrize(
    ("file", "kda"),
    [
        ("6z6u.pdb.gz", 480),  # 24-mer
        ("1bxn.pdb.gz", 530),  # the file holds half of the complex
        ("3h84.pdb.gz", 155),  # likewise
        ("1kx5.pdb.gz", 108 + 98 * 0.74 * 1.43),  # DNA: less volume, more contrast
    ],
)
def test_a_structure_has_the_contrast_of_its_mass(file, kda):
    one = species_from_structure(DATA / "structures" / file, "one", 10.0)
    assert mass_kda(one) == pytest.approx(kda, rel=0.12)


@needs_data
@pytest.mark.slow
def test_training_species_load_at_another_voxel_size():
    species = training_species(DATA, 12.0)
    assert len(species) >= 20
    assert {"ribosome", "apo-ferritin", "thyroglobulin", "beta-galactosidase", "virus-like-particle"} <= set(species)
    for one in species.values():
        assert 0.5 < np.percentile(one.density[one.mask], 95) < 1.6
        assert 30 < one.radius_angstrom < 250
