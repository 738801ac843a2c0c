import dataclasses

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cryosiam.domain import SEMANTIC_CLASSES, Picks
from cryosiam.geometry import indices_from_positions, nearest_voxels
from cryosiam.simulation import (
    SimulationConfig,
    Specimen,
    build_specimen,
    builtin_species,
    draw_config,
    image_specimen,
    simulate,
    species_from_density,
)

SMALL = SimulationConfig(shape_zyx=(48, 96, 90), occupancy=0.3, thickness_angstrom=420.0, vesicles=1, actin_filaments=2)
PARTICLES_ONLY = dataclasses.replace(SMALL, vesicles=0, microtubules=0, actin_filaments=0, nucleic_filaments=0)


@pytest.fixture(scope="module")
def species():
    return builtin_species(10.0)


@pytest.fixture(scope="module")
def scene(species):
    return simulate(SMALL, species, seed=7)


def arrays(scene):
    named = dataclasses.asdict(scene)
    picks = named.pop("picks")
    return {k: v for k, v in {**named, **picks}.items() if isinstance(v, np.ndarray)}


def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(scene, species):
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        again = simulate(SMALL, species, seed=7)
    finally:
        numba.set_num_threads(before)
    for name, values in arrays(scene).items():
        assert values.tobytes() == arrays(again)[name].tobytes(), name
    assert scene.picks.class_names == again.picks.class_names
    other = simulate(SMALL, species, seed=8)
    assert not np.array_equal(scene.semantic, other.semantic)


def test_one_specimen_can_be_imaged_twice(species):
    specimen = build_specimen(SMALL, species, 1)
    first, second = (image_specimen(specimen, SMALL, seed) for seed in (1, 2))
    assert np.array_equal(first.clean, second.clean)
    correlation = np.corrcoef(first.noisy.ravel(), second.noisy.ravel())[0, 1]
    assert 0.01 < correlation < 0.9


def test_types_and_units_are_as_promised(scene):
    assert scene.noisy.dtype == scene.clean.dtype == np.float32
    assert (scene.semantic.dtype, scene.instances.dtype, scene.sample_mask.dtype) == (np.uint8, np.int32, bool)
    assert all(a.shape == SMALL.shape_zyx for a in (scene.noisy, scene.clean, scene.semantic, scene.instances))
    assert np.median(scene.clean[scene.instances > 0]) == pytest.approx(-0.9, abs=0.25)
    solvent = ndimage.binary_erosion(scene.semantic == 0, iterations=2)
    assert np.abs(scene.clean[solvent]).mean() < 0.02
    assert (scene.wedge.tilt_min_deg, scene.wedge.tilt_max_deg) == (-60, 60)


@given(seed=st.integers(0, 2**32 - 1), occupancy=st.floats(0, 0.4))
@settings(max_examples=6, deadline=None)
def test_labels_agree_with_picks(species, seed, occupancy):
    specimen = build_specimen(dataclasses.replace(SMALL, occupancy=occupancy), species, seed)
    particle = SEMANTIC_CLASSES.index("particle")
    assert np.array_equal(specimen.semantic == particle, specimen.instances > 0)
    assert np.unique(specimen.instances[specimen.instances > 0]).tolist() == specimen.picks.instance_ids.tolist()
    assert not (specimen.semantic[~specimen.sample_mask] > 0).any()
    known = {s.name: s for s in species}
    centres = nearest_voxels(specimen.picks.positions_angstrom, 10.0)
    for centre, name, label in zip(centres, specimen.picks.class_names, specimen.picks.instance_ids, strict=True):
        distance = np.linalg.norm(np.argwhere(specimen.instances == label) - centre, axis=1)
        # The centre of a ring is not in its mask.
        mask = known[name].mask
        hole = np.linalg.norm(np.argwhere(mask) - mask.shape[0] // 2, axis=1).min()
        assert distance.min() <= hole + 2
        assert distance.max() * 10 <= known[name].radius_angstrom + 15


def test_particles_do_not_overlap_though_neighbours_touch(species):
    specimen = build_specimen(dataclasses.replace(PARTICLES_ONLY, occupancy=0.4), species, 3)
    known = {s.name: s for s in species}
    inner = np.array(SMALL.shape_zyx)[::-1] * 10.0
    whole = 0
    for position, name, label in zip(
        specimen.picks.positions_angstrom, specimen.picks.class_names, specimen.picks.instance_ids, strict=True
    ):
        radius = known[name].radius_angstrom
        if (position[:2] > radius).all() and (position[:2] < inner[:2] - radius - 10).all():
            voxels = np.count_nonzero(specimen.instances == label)
            assert voxels == pytest.approx(known[name].volume_voxels, rel=0.15), name
            whole += 1
    assert whole > 5
    a, b = specimen.instances[:, :, 1:], specimen.instances[:, :, :-1]
    assert np.count_nonzero((a > 0) & (b > 0) & (a != b)) > 20


def test_rotations_turn_the_object_into_the_tomogram():
    grid = np.meshgrid(*[np.arange(-12.0, 13)] * 3, indexing="ij")
    body = np.zeros((25, 25, 25))
    # An object without symmetry, mirror symmetry included: (x, y, z) of three unequal balls.
    for (x, y, z), weight in {(0, 0, 0): 1.0, (7, 0, 0): 2.0, (0, 6, 0): 3.0, (0, 0, 5): 4.0}.items():
        body += weight * np.exp(-((grid[2] - x) ** 2 + (grid[1] - y) ** 2 + (grid[0] - z) ** 2) / 5)
    one = species_from_density("corner", body, 10.0)
    specimen = build_specimen(dataclasses.replace(PARTICLES_ONLY, occupancy=0.03), [one], 5)
    half = one.density.shape[0] // 2
    probes = np.argwhere(one.density > 0.8)[:, ::-1] - half
    expected = one.density[tuple((probes + half).T[::-1])]
    compared = 0
    assert specimen.picks.rotations is not None
    for position, rotation in zip(specimen.picks.positions_angstrom, specimen.picks.rotations, strict=True):
        indices = indices_from_positions(position + 10.0 * probes @ rotation.T, 10.0)
        if (indices < 1).any() or (indices > np.array(SMALL.shape_zyx) - 2).any():
            continue
        seen = ndimage.map_coordinates(specimen.density, indices.T, order=1)
        assert np.corrcoef(seen, expected)[0, 1] > 0.97
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("shape", [(40, 48, 64), (41, 49, 63)])
def test_a_bead_is_reconstructed_at_its_place(shape):
    z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    where = (26.0, 14.0, 40.0)
    bead = 5 * np.exp(-((z - where[0]) ** 2 + (y - where[1]) ** 2 + (x - where[2]) ** 2) / 3).astype(np.float32)
    nothing = np.zeros(shape, np.float32)
    picks = Picks("bead", np.zeros((0, 3)), np.zeros(0), ())
    specimen = Specimen(bead, nothing, nothing.astype(np.uint8), nothing.astype(np.int32), bead > 1, picks)
    config = SimulationConfig(shape_zyx=shape, dose_factor=1e6, alignment_error_angstrom=0, defocus_um=3)
    noisy = image_specimen(specimen, config, 0).noisy
    assert np.unravel_index(noisy.argmin(), shape) == where


def test_no_signal_or_noise_where_no_tilt_looked(species):
    config = dataclasses.replace(SMALL, shape_zyx=(64, 64, 64), tilt_min_deg=-40.0, tilt_max_deg=60.0)
    noisy = simulate(config, species, 2).noisy
    window = np.hanning(64)
    power = np.abs(np.fft.fftn(noisy * window[:, None, None] * window)) ** 2
    k = np.fft.fftfreq(64)
    kz, kx = k[:, None, None], k[None, None, :]
    angle = np.broadcast_to(np.rad2deg(np.arctan2(kz * np.sign(kx + 1e-9), np.abs(kx) + 1e-9)), power.shape)
    band = np.broadcast_to((np.hypot(kz, kx) > 0.12) & (np.hypot(kz, kx) < 0.3), power.shape)
    seen = power[band & (angle > -35) & (angle < 55)].mean()
    assert power[band & (np.abs(angle) > 68)].mean() < 0.02 * seen
    assert power[band & (angle < -48) & (angle > -68)].mean() < 0.02 * seen
    assert power[band & (angle > 48) & (angle < 57)].mean() > 0.3 * seen


def test_less_dose_means_more_noise(species):
    specimen = build_specimen(SMALL, species, 4)

    def fidelity(factor):
        noisy = image_specimen(specimen, dataclasses.replace(SMALL, dose_factor=factor), 1).noisy
        return np.corrcoef(noisy.ravel(), specimen.density.ravel())[0, 1]

    assert -fidelity(10.0) > -fidelity(1.0) > -fidelity(0.05) > 0


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_drawn_configurations_are_reproducible_and_valid(seed):
    config = draw_config(seed, (32, 64, 64), 13.0)
    assert config == draw_config(seed, (32, 64, 64), 13.0)
    assert config.shape_zyx == (32, 64, 64)
    assert config.voxel_size_angstrom == 13.0
    assert 27 <= len(config.tilt_angles_deg) <= 70
    assert 2 <= config.defocus_um <= 5


@pytest.mark.parametrize("seed", range(3))
def test_drawn_configurations_can_be_simulated(species, seed):
    scene = simulate(draw_config(seed, (40, 64, 72)), species, seed)
    assert np.isfinite(scene.noisy).all()
    assert scene.noisy.std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"shape_zyx": (4, 64, 64)},
        {"voxel_size_angstrom": 0.0},
        {"occupancy": 1.0},
        {"tilt_step_deg": 0.0},
        {"tilt_min_deg": 70.0},
        {"dose_per_tilt": 0.0},
        {"thickness_angstrom": -1.0},
    ],
)
def test_impossible_configurations_are_refused(change):
    with pytest.raises(ValueError):
        dataclasses.replace(SMALL, **change)


def test_a_specimen_of_another_shape_is_refused(species):
    specimen = build_specimen(PARTICLES_ONLY, species, 0)
    with pytest.raises(ValueError, match="specimen is"):
        image_specimen(specimen, dataclasses.replace(SMALL, shape_zyx=(32, 32, 32)), 0)
