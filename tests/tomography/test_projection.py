import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.tomography.projection import project


@given(
    shape=st.tuples(st.integers(9, 16), st.integers(3, 5), st.integers(9, 16)),
    where=st.tuples(st.floats(0.25, 0.75), st.floats(0, 0.99), st.floats(0.25, 0.75)),
    tilt=st.floats(-80, 80),
)
@settings(max_examples=60, deadline=None)
def test_a_bead_lands_where_the_geometry_says(shape, where, tilt):
    z, y, x = (int(w * n) for w, n in zip(where, shape, strict=True))
    volume = np.zeros(shape, np.float32)
    volume[z, y, x] = 1
    image = project(volume, tilt, image_width=41)[0]
    t = np.deg2rad(tilt)
    expected = (x - shape[2] // 2) * np.cos(t) + (z - shape[0] // 2) * np.sin(t) + 41 // 2
    assert np.flatnonzero(image.sum(1)).tolist() == [y]
    # A bead narrower than the ray spacing is sampled unevenly: half a pixel is what one voxel allows.
    assert (image[y] * np.arange(41)).sum() / image[y].sum() == pytest.approx(expected, abs=0.5)


def test_a_smooth_bead_lands_within_a_hundredth_of_a_pixel():
    z, y, x = np.meshgrid(np.arange(40), np.arange(7), np.arange(47), indexing="ij")
    blob = np.exp(-((z - 25.3) ** 2 + (y - 3) ** 2 + (x - 15.6) ** 2) / 8)
    tilts = np.arange(-80, 81, 10.0)
    images = project(blob, tilts, image_width=64)
    rows = images.sum(1)
    centroids = (rows * np.arange(64)).sum(1) / rows.sum(1)
    t = np.deg2rad(tilts)
    assert np.allclose(centroids, (15.6 - 23) * np.cos(t) + (25.3 - 20) * np.sin(t) + 32, atol=0.01)
    assert np.allclose(rows.sum(1), blob.sum(), rtol=1e-3)


@pytest.mark.parametrize("tilt", [0.0, -30.0, 44.0, 46.0, -70.0])
def test_a_mirrored_slab_has_the_same_thickness_everywhere(tilt):
    image = project(np.ones((12, 4, 60), np.float32), tilt, image_width=80, mirror=True)[0]
    expected = 12 / np.cos(np.deg2rad(tilt))
    assert np.allclose(image, expected, rtol=0.04)
    assert np.allclose(image, image[0], rtol=0.08)


def test_the_result_does_not_depend_on_the_number_of_threads():
    volume = np.random.default_rng(0).standard_normal((20, 9, 31)).astype(np.float32)
    several = project(volume, [-50, 0, 50], mirror=True)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert np.array_equal(several, project(volume, [-50, 0, 50], mirror=True))
    finally:
        numba.set_num_threads(before)


def test_a_stack_of_volumes_is_refused():
    with pytest.raises(ValueError, match="three axes"):
        project(np.zeros((2, 3, 4, 5), np.float32), 0)
