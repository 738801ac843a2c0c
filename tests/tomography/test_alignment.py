import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.tomography.alignment import align_image, aligned_shape, fourier_crop


def spot(shape, place_yx, sigma):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-0.5 * ((y - place_yx[0]) ** 2 + (x - place_yx[1]) ** 2) / sigma**2).astype(np.float32)


def centroid(image):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(image * y).sum(), (image * x).sum()]) / image.sum()


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(90, 101), st.integers(90, 101)),
    angle_deg=st.floats(-100, 100),
    shift=st.tuples(st.floats(-6, 6), st.floats(-6, 6)),
    scale=st.sampled_from([1.0, 2.0, 2.5, 4.0]),
    from_centre=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
)
def test_a_spot_lands_where_the_transform_says(shape, angle_deg, shift, scale, from_centre):
    """For any size, rotation, shift and binning: aligned = matrix (raw - centre) + shift, centre = size // 2."""
    a = np.radians(angle_deg)
    matrix = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    place = np.array([shape[0] // 2 + from_centre[1], shape[1] // 2 + from_centre[0]])
    image = spot(shape, place, 1.7 * scale if scale > 1 else 2.0)
    out_shape = aligned_shape(shape, matrix[None], scale)
    aligned = align_image(image, matrix, np.array(shift), out_shape, scale)
    wanted_xy = (matrix @ np.array(from_centre) + np.array(shift)) / scale
    found = centroid(np.where(aligned > 0.1 * aligned.max(), aligned, 0)) - np.array(out_shape) // 2
    assert found == pytest.approx(wanted_xy[::-1], abs=0.1)


@pytest.mark.parametrize(("size", "new"), [((60, 64), (30, 32)), ((61, 63), (25, 31)), ((60, 64), (20, 21))])
def test_fourier_crop_keeps_pixel_zero_in_place_and_the_mean(size, new):
    image = spot(size, (24, 27), 5.0)
    cropped = fourier_crop(image, new)
    assert cropped.shape == new
    assert cropped.mean() == pytest.approx(image.mean(), rel=1e-4)
    assert centroid(cropped) * np.array(size) / np.array(new) == pytest.approx([24, 27], abs=0.1)


def test_outside_the_recorded_image_is_zero():
    aligned = align_image(np.ones((40, 40), np.float32), np.eye(2), np.array([10.0, 0.0]), (40, 40))
    assert not aligned[:, :9].any()
    assert aligned[:, 12:] == pytest.approx(1.0, abs=1e-3)


def test_a_tilt_axis_along_x_swaps_width_and_height():
    quarter = np.array([[[0.0, -1.0], [1.0, 0.0]]])
    assert aligned_shape((40, 60), quarter, 2.0) == (30, 20)
    assert aligned_shape((40, 60), np.eye(2)[None], 2.0) == (20, 30)
