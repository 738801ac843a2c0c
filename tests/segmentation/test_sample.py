from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryosiam.domain import Volume
from cryosiam.segmentation import SampleMask, find_sample

SHAPE = (100, 90, 120)


def coarsen(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Block means over 8 voxels; the last cell is the mean of what there is."""
    sums: NDArray[np.float64] = mask.astype(float)
    for axis, size in enumerate(mask.shape):
        starts = np.arange(0, size, 8)
        widths = np.minimum(8, size - starts).reshape([-1 if a == axis else 1 for a in range(3)])
        sums = np.add.reduceat(sums, starts, axis=axis) / widths
    return sums.astype(np.float32)


def slab(low: int, high: int) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[low:high] = True
    return mask


def whole(mask: SampleMask) -> NDArray[np.float32]:
    return mask.read((slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2])))


@settings(max_examples=15, deadline=None)
@given(st.integers(8, 40), st.integers(60, 92))
def test_a_slab_keeps_its_surfaces_and_thickness(low: int, high: int) -> None:
    mask = find_sample(coarsen(slab(low, high)), SHAPE, 10.0)
    assert mask.found
    inside = np.flatnonzero(whole(mask)[:, 45, 60])
    # Linear interpolation of block means places a flat surface within a voxel and a half.
    assert abs(inside[0] - low) <= 1.5
    assert abs(inside[-1] + 1 - high) <= 1.5
    assert mask.thickness_angstrom == pytest.approx((high - low) * 10.0, abs=30.0)


def test_no_half_voxel_is_lost() -> None:
    # Symmetric slab, symmetric mask: an offset of the coarse grid would shift it.
    depth = 96
    mask = np.zeros((depth, 40, 40), bool)
    mask[28:68] = True
    column = whole(find_sample(coarsen(mask), mask.shape, 10.0))[:, 20, 20]
    assert np.array_equal(column, column[::-1])


def test_only_the_largest_body_counts_and_its_holes_are_filled() -> None:
    mask = slab(24, 80)
    mask[44:60, 40:56, 48:64] = False
    mask[0:12, 0:16, 0:16] = True
    full = whole(find_sample(coarsen(mask), SHAPE, 10.0, smoothing=0.5))
    assert full[52, 48, 56] == 1
    assert full[4, 6, 6] == 0


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_box_reads_what_the_whole_holds(data: st.DataObject) -> None:
    rng = np.random.default_rng(3)
    mask = find_sample(rng.random((13, 12, 15)).astype(np.float32), SHAPE, 10.0, threshold=0.45)
    box = []
    for size in SHAPE:
        start = data.draw(st.integers(0, size - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, size))))
    part = mask.read((box[0], box[1], box[2]))
    assert part.dtype == np.float32
    assert np.array_equal(part, whole(mask)[tuple(box)])


def test_without_a_sample_all_counts_and_the_caller_is_told() -> None:
    mask = find_sample(np.full((13, 12, 15), 0.1, np.float32), SHAPE, 10.0)
    assert not mask.found
    assert whole(mask).all()
    assert mask.fraction == 1.0
    assert mask.thickness_angstrom == pytest.approx(1000.0)


def test_mask_is_a_volume_and_wrong_grids_are_refused() -> None:
    mask = find_sample(np.ones((13, 12, 15), np.float32), SHAPE, 10.0)
    assert isinstance(mask, Volume)
    with pytest.raises(ValueError, match="coarse grid"):
        find_sample(np.ones((12, 12, 15), np.float32), SHAPE, 10.0)


def test_volume_smaller_than_a_cell() -> None:
    mask = find_sample(np.ones((1, 1, 2), np.float32), (5, 8, 9), 10.0)
    assert whole(mask).all()
