from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cryosiam.simulation.build import species_wanted
from cryosiam.simulation.shapes import MEMBRANE_CENTRES_ANGSTROM, SHAPE_NAMES, builtin_shape, builtin_species
from cryosiam.simulation.sources import load_all
from cryosiam.simulation.spec import read_spec
from cryosiam.simulation.species import particle_mask, species_from_density

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


@pytest.mark.parametrize(("pore", "filled"), [(3, True), (4, True), (7, False)])
def test_only_narrow_pores_are_closed(pore, filled):
    shell = np.clip(ball(14) - ball(9), 0, 1)
    start = 20 - pore // 2
    shell[:, start : start + pore, start : start + pore] = 0
    assert particle_mask(shell, 10.0)[20, 20, 20] == filled


def test_a_deep_pocket_of_a_solid_body_stays_open():
    body = ball(14)
    body[20:, 19:22, 19:22] = 0
    assert not particle_mask(body, 10.0)[24, 20, 20]


@needs_data
def test_the_largest_capsid_is_filled_at_every_voxel_size():
    specs = [one for one in read_spec("general").specimen.species if one.name == "papillomavirus-capsid"]
    volumes = []
    for voxel_size in (6.8, 9.5, 10.0, 13.0):
        (species,) = load_all(specs, voxel_size, structures_dir=DATA).values()
        volumes.append(species.volume_voxels * voxel_size**3)
    assert volumes == pytest.approx([volumes[0]] * len(volumes), rel=0.05)


def test_names_with_underscores_and_empty_densities_are_refused():
    with pytest.raises(ValueError, match="underscore"):
        species_from_density("a_b", ball(5), 10.0)
    with pytest.raises(ValueError, match="no voxel"):
        species_from_density("void", np.zeros((9, 9, 9)), 10.0)


@pytest.mark.parametrize("voxel_size", [6.8, 10.0])
def test_membrane_shapes_span_the_bilayer_where_they_say(voxel_size):
    for name, centre in MEMBRANE_CENTRES_ANGSTROM.items():
        species = builtin_shape(name, voxel_size)
        half = species.mask.shape[0] // 2
        areas = species.mask.sum((1, 2)) * voxel_size**2
        heights = (np.arange(len(areas)) - half) * voxel_size
        inside = areas[np.abs(heights - centre) < 15]
        assert inside.min() > 900
        # The stretch within the bilayer is the same all the way through.
        assert inside.max() < 1.35 * inside.min()


def test_the_nucleosome_is_a_disc_with_denser_dna_around_it_and_a_dyad():
    species = builtin_shape("nucleosome", 5.0)
    half = species.mask.shape[0] // 2
    extent = [np.ptp(np.flatnonzero(species.mask.any(axes))) * 5.0 for axes in ((1, 2), (0, 2), (0, 1))]
    assert extent[0] == pytest.approx(52, abs=8)
    assert extent[1] == pytest.approx(108, abs=8)
    _, y, x = np.indices(species.mask.shape) - half
    radius = np.hypot(x, y) * 5.0
    assert species.density[(radius > 41) & (radius < 47) & species.mask].max() > 1.15
    assert species.density[(radius < 25) & species.mask].max() < 1.05
    assert 180 < species.mass_kda < 280
    about_z, about_x, about_y = (np.flip(species.density, axes) for axes in ((1, 2), (0, 1), (0, 2)))
    likeness = [np.corrcoef(turned.ravel(), species.density.ravel())[0, 1] for turned in (about_z, about_y, about_x)]
    assert max(likeness[:2]) < 0.97
    assert likeness[2] > 0.99
    assert species.symmetry == "C2"


def test_demo_shapes_stay_those_seven():
    assert {s.name for s in builtin_species(10.0)} == {
        "capsid", "two-lobe", "barrel", "three-lobe", "ring-stack", "cage", "ellipsoid",
    }  # fmt: skip
    assert {"nucleosome", "channel", "receptor"} < set(SHAPE_NAMES)


def test_a_mask_does_not_depend_on_the_voxel_size():
    rng = np.random.default_rng(0)
    for voxel_size in (1.5, 3.0, 6.0):
        n = int(120 / voxel_size)
        z, y, x = (np.indices((n, n, n)) - n // 2) * voxel_size
        grain = ndimage.gaussian_filter(rng.normal(0, 1, (n, n, n)), 1.0 / voxel_size)
        body = (np.sqrt(x**2 + y**2 + z**2) < 30) * (1 + 0.8 * grain / grain.std())
        assert particle_mask(body, voxel_size).sum() * voxel_size**3 == pytest.approx(1.13e5, rel=0.35)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["general", "transcription-translation", "chromatin", "czii", "training"])
def test_species_of_the_presets_load_at_another_voxel_size(preset):
    species = load_all(species_wanted(read_spec(preset)), 12.0, structures_dir=DATA)
    assert species
    for one in species.values():
        assert 0.4 < np.percentile(one.density[one.mask], 95) < 1.7, one.name
        assert 20 < one.radius_angstrom < 310, one.name
