import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.tomography.hot_pixels import remove_hot_pixels


def noisy_image(seed, shape=(48, 60)):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(900, 1100, shape[1])
    return (ramp + rng.normal(0, 30, shape)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    place=st.tuples(st.integers(0, 47), st.integers(0, 59)),
    height=st.sampled_from([-900.0, 400.0, 5e3, 1e7]),
)
def test_a_hot_or_dead_pixel_goes_and_the_rest_stays(seed, place, height):
    image = noisy_image(seed)
    bad = image.copy()
    bad[place] += height
    cleaned = remove_hot_pixels(bad)
    assert abs(cleaned[place] - image[place]) < 150
    untouched = np.ones(image.shape, bool)
    untouched[place] = False
    assert np.mean(cleaned[untouched] != image[untouched]) < 1e-3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_number_are_replaced(value):
    image = noisy_image(1)
    image[10, 11] = image[0, 0] = value
    cleaned = remove_hot_pixels(image)
    assert np.isfinite(cleaned).all()
    assert 800 < cleaned[10, 11] < 1200


def test_two_hot_neighbours_both_go():
    image = noisy_image(2)
    image[20, 20] += 4000
    image[20, 21] += 500
    assert np.abs(remove_hot_pixels(image)[20, 20:22] - 970).max() < 150


def test_broad_dark_objects_such_as_gold_beads_stay():
    image = noisy_image(3)
    y, x = np.mgrid[:48, :60]
    bead = (y - 24) ** 2 + (x - 30) ** 2 < 6**2
    image[bead] -= 600
    cleaned = remove_hot_pixels(image)
    assert np.mean(cleaned[bead]) == pytest.approx(np.mean(image[bead]), abs=10)


def test_a_constant_image_and_the_input_are_left_alone():
    image = np.full((8, 9), 7, np.int16)
    np.testing.assert_array_equal(remove_hot_pixels(image), image)
    noisy = noisy_image(4)
    noisy[5, 5] = 1e6
    before = noisy.copy()
    remove_hot_pixels(noisy)
    np.testing.assert_array_equal(noisy, before)
