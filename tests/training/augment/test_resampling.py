"""Other voxel sizes: labels stay labels, everything stays registered, objects grow and shrink about the centre."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.simulation.fast.targets import boundary_and_distance
from cryosiam.training.augment.resampling import mirrored, resampled

SIZE = (20, 21, 22)


def ball(shape: tuple[int, int, int], centre: np.ndarray, radius: float) -> np.ndarray:
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


def centre_of(weights: np.ndarray) -> np.ndarray:
    return np.array([(weights * axis).sum() for axis in np.indices(weights.shape)]) / weights.sum()


@settings(deadline=None, max_examples=40)
@given(
    spacing=st.floats(0.9, 1.1), labels=st.sets(st.integers(0, 255), min_size=1, max_size=4), seed=st.integers(0, 99)
)
def test_only_labels_occur_that_were_there(spacing: float, labels: set[int], seed: int) -> None:
    given_labels = np.random.default_rng(seed).choice(np.array(sorted(labels), np.uint8), (6, 7, 8))
    made = resampled({"semantic": given_labels}, spacing, (9, 7, 6))["semantic"]
    assert made.dtype == np.uint8
    assert made.shape == (9, 7, 6)
    assert set(np.unique(made)) <= labels


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@settings(deadline=None, max_examples=25)
@given(spacing=st.floats(0.9, 1.1), offset=st.tuples(*[st.floats(-4, 4)] * 3))
def test_grey_values_and_labels_stay_registered(
    interpolation: str, spacing: float, offset: tuple[float, float, float]
) -> None:
    shape = (24, 25, 26)
    place = np.array([n // 2 for n in shape]) + offset
    label = ball(shape, place, 4).astype(np.int32)
    made = resampled({"noisy": label.astype(np.float32), "instances": label}, spacing, SIZE, interpolation)
    expected = np.array([n // 2 for n in SIZE]) + (centre_of(label) - [n // 2 for n in shape]) / spacing
    np.testing.assert_allclose(centre_of(made["instances"]), expected, atol=0.5)
    np.testing.assert_allclose(centre_of(made["noisy"]), expected, atol=0.1)
    np.testing.assert_allclose(centre_of(made["noisy"]), centre_of(made["instances"]), atol=0.5)


def test_a_larger_spacing_makes_objects_smaller() -> None:
    grey = ball((30, 30, 30), np.full(3, 15), 8).astype(np.float32)
    for spacing in (0.9, 1.0, 1.1):
        made = resampled({"noisy": grey}, spacing, (30, 30, 30))["noisy"]
        assert made.sum() * spacing**3 == pytest.approx(grey.sum(), rel=0.02)


def test_the_same_spacing_is_a_crop_about_the_centre() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "noisy": rng.standard_normal((12, 13, 14)).astype(np.float32),
        "semantic": rng.integers(0, 9, (12, 13, 14)),
    }
    for name, made in resampled(arrays, 1.0, (6, 7, 8)).items():
        np.testing.assert_allclose(made, arrays[name][3:9, 3:10, 3:11], atol=1e-6)


def test_linear_interpolation_keeps_a_slope_and_cubic_a_parabola() -> None:
    along = np.arange(40, dtype=np.float32)
    at = 20 + (np.arange(20) - 10) * 1.07
    slope = np.broadcast_to(along, (3, 3, 40)).copy()
    np.testing.assert_allclose(resampled({"noisy": slope}, 1.07, (1, 1, 20), "linear")["noisy"][0, 0], at, rtol=1e-5)
    made = resampled({"noisy": slope**2}, 1.07, (1, 1, 20), "cubic")["noisy"][0, 0]
    np.testing.assert_allclose(made, at**2, rtol=1e-5)


def test_beyond_the_faces_lies_the_mirror_image() -> None:
    assert mirrored(np.arange(-4, 8), 4).tolist() == [3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0]


@pytest.mark.parametrize(("dtype", "unit"), [(np.uint8, 2), (np.float32, 1)])
def test_boundary_and_distance_are_those_of_the_objects_as_they_are_now(dtype: type, unit: int) -> None:
    instances = ball((24, 24, 24), np.full(3, 12), 7).astype(np.int32)
    boundary, distance = boundary_and_distance(instances)
    arrays = {
        "instances": instances,
        "boundary": boundary.astype(np.uint8),
        "distance": (unit * distance).astype(dtype),
    }
    made = resampled(arrays, 0.9, (24, 24, 24))
    boundary, distance = boundary_and_distance(made["instances"].astype(np.int32))
    assert made["distance"].dtype == dtype
    assert np.array_equal(made["boundary"], boundary)
    assert np.array_equal(made["distance"], (unit * distance).astype(dtype))
