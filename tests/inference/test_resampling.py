"""Resampling keeps positions in Å, ramps, and does not depend on how the volume is read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryosiam.domain import ArrayVolume
from cryosiam.domain.tomogram import Box
from cryosiam.geometry import indices_from_positions, positions_from_indices
from cryosiam.inference import resampling
from cryosiam.inference.resampling import ResampledVolume, low_passed, on_grid

RATIOS = [0.5, 0.731, 1.05, 4 / 3, 1.5, 2.0, 2.37, 3.0]


def whole(shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    z, y, x = (slice(0, size) for size in shape)
    return z, y, x


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_linear_ramp_stays_the_same_ramp(ratio: float) -> None:
    z, y, x = np.meshgrid(*(np.arange(size) for size in (20, 25, 31)), indexing="ij")
    source = ArrayVolume((2.0 * x - 3.0 * y + 5.0 * z + 7.0).astype(np.float32))
    target = ResampledVolume(source, 10.0, 10.0 * ratio)
    z, y, x = np.meshgrid(*(np.arange(size) * ratio for size in target.shape), indexing="ij")
    np.testing.assert_allclose(target.read(whole(target.shape)), 2 * x - 3 * y + 5 * z + 7, rtol=0, atol=2e-3)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_bead_stays_where_it_is(ratio: float) -> None:
    position = np.array([[203.7, 171.2, 188.9]])
    grids = np.meshgrid(*[np.arange(41)] * 3, indexing="ij")
    distance2 = sum((g - c) ** 2 for g, c in zip(grids, indices_from_positions(position, 10.0)[0], strict=True))
    source = ArrayVolume(np.exp(-distance2 / (2 * 3.0**2)).astype(np.float32))
    target = ResampledVolume(source, 10.0, 10.0 * ratio)
    bead = target.read(whole(target.shape)).astype(np.float64)
    centre = [(g * bead).sum() / bead.sum() for g in np.meshgrid(*map(np.arange, bead.shape), indexing="ij")]
    error = (positions_from_indices([centre], 10.0 * ratio) - position) / (10.0 * max(ratio, 1.0))
    assert np.abs(error).max() < 0.05


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((4, 4, 400), np.float32)
    stripes[..., ::2] = 1.0
    shrunk = ResampledVolume(ArrayVolume(stripes), 5.0, 15.0)
    assert np.ptp(shrunk.read(whole(shrunk.shape))[..., 3:-3]) < 0.2


@settings(deadline=None, max_examples=80)
@given(data=st.data(), ratio=st.floats(0.3, 3.5))
def test_any_box_equals_the_same_part_of_the_whole(data: st.DataObject, ratio: float) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 14)] * 3))
    source = ArrayVolume(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    volume = ResampledVolume(source, 10.0, 10.0 * ratio)
    everything = volume.read(whole(volume.shape))
    assert everything.shape == volume.shape
    starts = [data.draw(st.integers(0, size - 1)) for size in volume.shape]
    z, y, x = (slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, volume.shape, strict=True))
    part = volume.read((z, y, x))
    np.testing.assert_array_equal(part, everything[z, y, x])
    assert part.flags.c_contiguous


class Counting:
    """A constant volume of any size that notes the largest box read from it."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.largest = 0

    def read(self, box: Box) -> NDArray[np.float32]:
        z, y, x = (part.stop - part.start for part in box)
        self.largest = max(self.largest, z * y * x)
        return np.ones((z, y, x), np.float32)


@pytest.mark.parametrize("ratio", [0.4, 1.0, 4.0, 9.0])
def test_the_source_is_read_in_blocks_of_bounded_size(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    monkeypatch.setattr(resampling, "BLOCK_VOXELS", 20_000)
    source = Counting((50, 80, 90))
    volume = ResampledVolume(source, 2.5, 2.5 * ratio)
    np.testing.assert_allclose(volume.read(whole(volume.shape)), 1.0, rtol=1e-5)
    assert 0 < source.largest <= 20_000


@settings(deadline=None, max_examples=15)
@given(ratio=st.floats(0.3, 3.5), limit=st.integers(300, 4000))
def test_values_do_not_depend_on_the_blocks(ratio: float, limit: int) -> None:
    source = ArrayVolume(np.random.default_rng(1).normal(size=(13, 17, 15)).astype(np.float32))
    volume = ResampledVolume(source, 10.0, 10.0 * ratio)
    everything = volume.read(whole(volume.shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "BLOCK_VOXELS", limit)
        np.testing.assert_array_equal(volume.read(whole(volume.shape)), everything)


def test_a_wanted_shape_beyond_the_source_repeats_its_edge() -> None:
    source = ArrayVolume(np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32))
    volume = ResampledVolume(source, 10.0, 5.0, (8, 8, 8))
    np.testing.assert_allclose(volume.read(whole((8, 8, 8)))[:, 3, 3], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3], atol=1e-6)


def test_nearly_the_same_voxel_size_is_left_alone() -> None:
    source = ArrayVolume(np.zeros((3, 3, 3), np.float32))
    assert on_grid(source, 10.12, 10.0) == (source, 10.12)
    resampled, voxel_size = on_grid(source, 13.48, 10.0)
    assert isinstance(resampled, ResampledVolume)
    assert voxel_size == 10.0


def test_low_pass_keeps_the_grid_and_removes_fine_detail() -> None:
    z = np.arange(48, dtype=np.float32)[:, None, None] + np.zeros((48, 24, 24), np.float32)
    coarse, fine = np.sin(2 * np.pi * z / 24), np.sin(2 * np.pi * z / 2.5)
    volume = ArrayVolume(coarse + fine)
    smooth = low_passed(volume, 10.0, 50.0)
    everything = (slice(0, 48), slice(0, 24), slice(0, 24))
    assert smooth.shape == volume.shape
    inside = smooth.read(everything)[8:-8]
    assert np.corrcoef(inside.ravel(), coarse[8:-8].ravel())[0, 1] > 0.99
    assert np.std(inside - coarse[8:-8]) < 0.25 * np.std(fine)
    box = (slice(5, 30), slice(3, 9), slice(10, 24))
    np.testing.assert_allclose(smooth.read(box), smooth.read(everything)[box], atol=1e-5)


def test_a_bead_keeps_its_place_under_the_low_pass() -> None:
    grid = np.indices((33, 33, 33)).astype(np.float32)
    place = np.array([16.3, 15.6, 17.2], np.float32)
    bead = np.exp(-((grid - place[:, None, None, None]) ** 2).sum(0) / (2 * 2.5**2)).astype(np.float32)
    smooth = low_passed(ArrayVolume(bead), 10.0, 30.0).read((slice(0, 33),) * 3)
    centre = (grid * smooth).sum((1, 2, 3)) / smooth.sum()
    np.testing.assert_allclose(centre, place, atol=0.05)


def test_a_low_pass_beyond_nyquist_does_nothing() -> None:
    volume = ArrayVolume(np.ones((8, 8, 8), np.float32))
    assert low_passed(volume, 10.0, 20.0) is volume
