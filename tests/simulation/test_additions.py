import time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from cryosiam.simulation.additions import (
    CARBON_POTENTIAL_VOLT,
    GOLD_CONTRAST_VOLT,
    SOLUTE_SCALE_ANGSTROM,
    add_gold,
    background,
    carbon_film,
)
from cryosiam.simulation.slab import make_slab
from cryosiam.simulation.spec import SlabSpec
from cryosiam.simulation.structures import PROTEIN_CONTRAST_VOLT


def slab_of(shape=(60, 100, 100), voxel=10.0, **values):
    spec = SlabSpec(**{"thickness_nm": 0.03 * shape[0] * voxel, "roughness_angstrom": 10.0, **values})
    return make_slab(shape, voxel, spec, np.random.default_rng(0))


# Ice and small solutes


@pytest.mark.parametrize("voxel", [6.8, 10.0, 20.0])
def test_background_fluctuates_inside_the_sample_only(voxel):
    slab = slab_of(voxel=voxel)
    field = background(slab.sample, 0.15, voxel, np.random.default_rng(1))
    assert field.dtype == np.float32
    assert not field[~slab.sample].any()
    assert field[slab.sample].std() == pytest.approx(0.15, rel=0.03)
    assert abs(field[slab.sample].mean()) < 0.01


def test_background_is_correlated_over_the_scale_of_small_solutes():
    voxel = 5.0
    field = background(np.ones((64, 96, 80), bool), 1.0, voxel, np.random.default_rng(0))
    # The autocorrelation of Gaussian-smoothed noise is a Gaussian, sqrt(2) wider.
    for axis in range(3):
        for lag in (1, 3):
            measured = (field * np.roll(field, lag, axis)).mean()
            expected = np.exp(-((lag * voxel) ** 2) / (4 * SOLUTE_SCALE_ANGSTROM**2))
            assert measured == pytest.approx(expected, abs=0.04)


def test_background_is_as_strong_at_the_volumes_faces():
    field = background(np.ones((30, 200, 200), bool), 1.0, 6.8, np.random.default_rng(0))
    assert field[0].std() == pytest.approx(1, abs=0.05)
    assert field[:, 0].std() == pytest.approx(1, abs=0.08)
    assert field[:, :, -1].std() == pytest.approx(1, abs=0.08)


def test_background_without_strength_is_empty():
    assert not background(np.ones((8, 8, 8), bool), 0.0, 10.0, np.random.default_rng(0)).any()


# Carbon


def test_a_carbon_film_lies_under_the_slab():
    slab = slab_of(tilt_deg=4)
    film = carbon_film(slab, 8.0, True, 10.0, np.random.default_rng(0))
    z = np.arange(slab.shape[0])[:, None, None]
    assert not film[(z - 0.5 >= slab.lower) | (z + 0.5 <= slab.lower - 8)].any()
    columns = film.sum(0)
    covered = columns > columns.max() / 2
    assert 0.2 < covered.mean() < 0.8
    assert columns[covered].mean() == pytest.approx(8 * CARBON_POTENTIAL_VOLT / PROTEIN_CONTRAST_VOLT, rel=0.05)
    _, parts = ndimage.label(covered)
    assert parts == 1


def test_a_film_over_the_whole_field_shows_its_grain_only():
    film = carbon_film(slab_of(), 10.0, False, 10.0, np.random.default_rng(0))
    columns = film.sum(0)
    assert (columns != 0).all()
    assert abs(columns.mean()) < 0.3 * columns.std()


def test_carbon_grain_is_white_up_to_the_voxel_limit():
    shape, voxel = (40, 256, 256), 6.8
    film = carbon_film(
        slab_of(shape, voxel, tilt_deg=0, roughness_angstrom=0), 6.0, False, voxel, np.random.default_rng(0)
    )
    power = np.abs(np.fft.fft2(film.sum(0))) ** 2
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])

    def limit(frequency):
        """Transfer of the Gaussian of half a voxel that limits the grain, sampled at the voxels."""
        return sum(np.exp(-2 * (np.pi * 0.5 * (frequency + alias)) ** 2) for alias in (-1, 0, 1)) / 1.0144

    levels = []
    power /= (limit(np.fft.fftfreq(256))[:, None] * limit(np.fft.fftfreq(256))) ** 2
    for low in np.arange(0.05, 0.45, 0.1):
        ring = (k >= low) & (k < low + 0.1)
        levels.append(power[ring].mean())
    assert_allclose(levels, np.mean(levels), rtol=0.12)
    # Independent atoms: variance of the projected potential is density * thickness * (integral of one)^2 per area.
    expected = 0.1 * 60 * 120.2**2 / PROTEIN_CONTRAST_VOLT**2 / voxel**2 / voxel**2 * 256**2
    assert np.mean(levels) == pytest.approx(expected, rel=0.15)


def test_a_film_beyond_the_volume_is_cut():
    slab = slab_of((20, 40, 40), 10.0, thickness_nm=20.0, tilt_deg=0, roughness_angstrom=0)
    film = carbon_film(slab, 10.0, True, 10.0, np.random.default_rng(0))
    assert film.shape == slab.shape
    assert np.isfinite(film).all()


# Gold


def test_gold_beads_touch_the_faces_and_have_their_mass():
    slab = slab_of((80, 120, 120), 10.0, thickness_nm=40.0)
    volume = np.zeros(slab.shape, np.float32)
    positions = add_gold(volume, slab, 6, 10.0, 10.0, np.random.default_rng(3))
    assert positions.shape == (6, 3)
    assert volume.max() == pytest.approx(GOLD_CONTRAST_VOLT / PROTEIN_CONTRAST_VOLT, rel=0.01)
    whole = [one for one in positions if (one[:2] > 80).all() and (one[:2] < 1110).all()]
    for one in whole:
        x, y, z = np.rint(one / 10).astype(int)
        low = np.array([z, y, x]) - 8
        box = volume[tuple(slice(a, a + 17) for a in low)]
        assert box.sum() == pytest.approx(4 / 3 * np.pi * 5**3 * GOLD_CONTRAST_VOLT / PROTEIN_CONTRAST_VOLT, rel=0.05)
        assert_allclose(ndimage.center_of_mass(box) + low, one[::-1] / 10, atol=0.1)
        gaps = z - slab.upper[y, x], slab.lower[y, x] - z
        assert max(gaps) == pytest.approx(5, abs=1)
    assert len(whole) >= 2


def test_gold_beads_do_not_overlap_and_stay_in_the_volume():
    slab = slab_of((30, 60, 60), 10.0, thickness_nm=29.0, tilt_deg=0, roughness_angstrom=0)
    volume = np.zeros(slab.shape, np.float32)
    positions = add_gold(volume, slab, 12, 8.0, 10.0, np.random.default_rng(3))
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    assert distances[~np.eye(len(positions), dtype=bool)].min() > 80
    assert (positions[:, 2] >= 40).all()
    assert (positions[:, 2] <= 260).all()


def test_full_faces_end_the_search_for_places():
    slab = slab_of((40, 40, 40))
    begin = time.process_time()
    beads = add_gold(np.zeros(slab.shape, np.float32), slab, 10_000, 10.0, 10.0, np.random.default_rng(3))
    assert 20 < len(beads) < 1000
    assert time.process_time() - begin < 5


def test_same_seed_same_bytes():
    slab = slab_of()
    makers = [
        lambda rng: background(slab.sample, 0.1, 10.0, rng),
        lambda rng: carbon_film(slab, 5.0, True, 10.0, rng),
        lambda rng: add_gold(np.zeros(slab.shape, np.float32), slab, 4, 10.0, 10.0, rng),
    ]
    for maker in makers:
        first, again, other = (maker(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert first.tobytes() == again.tobytes()
        assert first.tobytes() != other.tobytes()
