"""Labels on another grid: nothing is invented, any box will do, and surfaces lie where the probabilities put them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryosiam.domain import ArrayVolume
from cryosiam.domain.tomogram import Box
from cryosiam.inference.label_resampling import (
    Margins,
    NearestVolume,
    SurfaceVolume,
    class_margins,
    instance_margins,
)
from cryosiam.inference.resampling import resampled_size

COARSE, FINE = 10.0, 6.8
THRESHOLD = 0.35

View = NearestVolume | SurfaceVolume


def whole(shape: tuple[int, ...]) -> Box:
    z, y, x = (slice(0, size) for size in shape)
    return z, y, x


def surface(
    labels: NDArray[np.generic],
    probability: NDArray[np.floating],
    margins: Margins,
    shape: tuple[int, int, int],
    voxels: tuple[float, float] = (COARSE, FINE),
) -> NDArray[np.float32]:
    stored = ArrayVolume(np.rint(255 * probability).astype(np.uint8))
    view = SurfaceVolume(ArrayVolume(labels), stored, margins, *voxels, shape)
    return view.read(whole(shape))


def distances(shape: tuple[int, int, int], voxel: float, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    grid = np.meshgrid(*(np.arange(size) * voxel for size in shape), indexing="ij")
    return np.sqrt(sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)))


def overlap(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    a, b = one > 0, other > 0
    return float((a & b).sum() / (a | b).sum())


@settings(deadline=None, max_examples=80)
@given(data=st.data(), ratio=st.floats(0.3, 3.5), nearest=st.booleans())
def test_any_box_equals_the_same_part_of_the_whole(data: st.DataObject, ratio: float, nearest: bool) -> None:
    source = data.draw(st.tuples(*[st.integers(1, 14)] * 3))
    rng = np.random.default_rng(0)
    labels = ArrayVolume(rng.integers(0, 4, source).astype(np.int32))
    probability = ArrayVolume(rng.integers(0, 256, source).astype(np.uint8))
    z, y, x = (resampled_size(size, 10.0, 10.0 * ratio) for size in source)
    view: View = NearestVolume(labels, 10.0, 10.0 * ratio, (z, y, x))
    if not nearest:
        view = SurfaceVolume(labels, probability, instance_margins(THRESHOLD), 10.0, 10.0 * ratio, (z, y, x))
    everything = view.read(whole((z, y, x)))
    assert everything.shape == (z, y, x)
    starts = [data.draw(st.integers(0, size - 1)) for size in (z, y, x)]
    box = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, (z, y, x), strict=True))
    part = view.read((box[0], box[1], box[2]))
    np.testing.assert_array_equal(part, everything[box])
    assert part.flags.c_contiguous


@pytest.mark.parametrize("margins", [class_margins, instance_margins(THRESHOLD)])
def test_voxels_that_coincide_keep_their_label_and_none_is_invented(margins: Margins) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 9, (6, 7, 8)).astype(np.int32)
    nearest = NearestVolume(ArrayVolume(labels), 10.0, 5.0, (12, 14, 16)).read(whole((12, 14, 16)))
    fine = surface(labels, rng.random(labels.shape), margins, (12, 14, 16), (10.0, 5.0))
    for read in (nearest, fine):
        np.testing.assert_array_equal(read[::2, ::2, ::2], labels)
    steps = [np.minimum(np.stack([np.arange(2 * n) // 2, (np.arange(2 * n) + 1) // 2]), n - 1) for n in labels.shape]
    about = np.stack([labels[np.ix_(z, y, x)] for z in steps[0] for y in steps[1] for x in steps[2]])
    assert (about == fine).any(axis=0).all()


@pytest.mark.parametrize("radius", [24.0, 30.0, 45.0, 80.0])
@pytest.mark.parametrize("threshold", [0.35, 0.5])
def test_a_ball_comes_back_as_large_as_it_is(radius: float, threshold: float) -> None:
    rng = np.random.default_rng(3)
    scores = []
    for _ in range(10):
        centre = 150.0 + rng.uniform(-10, 10, 3)
        truth = distances((45, 45, 45), FINE, centre) <= radius
        inside = radius - distances((31, 31, 31), COARSE, centre)
        foreground = 1 / (1 + np.exp(-inside / 5) * (1 / threshold - 1))
        labels = np.where(foreground >= threshold, 7, 0)
        fine = surface(labels, foreground, instance_margins(threshold), truth.shape)
        nearest = NearestVolume(ArrayVolume(labels), COARSE, FINE, truth.shape).read(whole(truth.shape))
        scores.append((overlap(fine, truth), overlap(nearest, truth), (fine > 0).sum() / truth.sum()))
    ours, plain, volume = np.mean(scores, axis=0)
    assert ours > 0.9
    assert ours > plain + 0.05
    assert 0.9 < volume < 1.05


def test_a_class_ends_where_its_probability_is_one_half() -> None:
    inside = np.linspace(0.95, 0.05, 10)[:, None, None] * np.ones((10, 3, 3))
    labels = (inside >= 0.5).astype(np.uint8)
    fine = surface(labels, np.where(labels > 0, inside, 1 - inside), class_margins, (91, 3, 3), (10.0, 1.0))
    assert fine[:45].all()
    assert not fine[47:].any()


def test_touching_particles_keep_touching() -> None:
    labels = np.ones((12, 8, 8), np.int32)
    labels[6:] = 2
    fine = surface(labels, np.full(labels.shape, 0.9), instance_margins(THRESHOLD), (17, 11, 11))
    assert (fine[:8] == 1).all()
    assert (fine[9:] == 2).all()


def corner(make: Callable[[NDArray[np.int32]], NDArray[np.floating]]) -> NDArray[np.float32]:
    labels = np.zeros((6, 6, 6), np.int32)
    labels[:3] = 4
    return surface(labels, make(labels), instance_margins(THRESHOLD), (51, 6, 6), (10.0, 1.0))


def test_foreground_that_was_left_out_is_background() -> None:
    """A particle beside one that was dropped does not grow into its place."""
    dropped = corner(lambda labels: np.full(labels.shape, 0.9))
    alone = corner(lambda labels: np.where(labels > 0, 0.9, 0.0))
    assert 20 < (dropped[:, 3, 3] > 0).sum() < 30
    assert (dropped > 0).sum() <= (alone > 0).sum() + 6 * 36
