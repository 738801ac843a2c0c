from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.evaluation import (
    SIZE_CLASSES,
    instance_average_precision,
    instance_overlap,
    instance_scores,
    size_classes_of,
)


def names(voxels: list[float], voxel_size: float) -> list[str]:
    return [SIZE_CLASSES[i] for i in size_classes_of(voxels, voxel_size)]


def test_classes_at_the_voxel_size_they_are_stated_for() -> None:
    sizes = [1, 149, 150, 899, 900, 1999, 2000, 6000, 6001]
    expected = ["tiny", "tiny", "small", "small", "medium", "medium", "big", "big", "very big"]
    assert names(sizes, 6.8) == expected


def test_classes_are_volumes_and_not_numbers_of_voxels() -> None:
    # At half the voxel size everything has eight times the voxels.
    assert names([8 * 149, 8 * 151, 8 * 6001], 3.4) == ["tiny", "small", "very big"]
    # At 10 Å the limit of 150 voxels is at 47.2.
    assert names([47, 48], 10.0) == ["tiny", "small"]


def test_scores_by_size_by_hand() -> None:
    truth = np.zeros((20, 40, 40), np.uint16)
    found = np.zeros_like(truth)
    truth[:10, :10, :10] = 1  # 1000 voxels, medium
    found[:10, :10, :8] = 4  # intersection over union 0.8, found as small
    truth[12:15, :5, :5] = 2  # 75 voxels, tiny; missed
    found[:10, 20:30, 20:32] = 9  # 1200 voxels, medium; there is nothing
    scores = instance_scores(instance_overlap(found, truth), 6.8, (0.5, 0.75, 0.85))
    assert scores["all"].precision == pytest.approx([1 / 3, 1 / 3, 0])
    assert scores["all"].average_precision == pytest.approx(2 / 9)
    # The small prediction counts where its particle does, until it no longer matches.
    assert scores["medium"].precision == pytest.approx([1 / 2, 1 / 2, 0])
    assert scores["tiny"].precision == pytest.approx([0, 0, 0])
    assert np.isnan(scores["small"].precision[:2]).all()
    assert scores["small"].precision[2] == 0
    assert np.isnan(scores["big"].average_precision)
    assert (scores["all"].truth, scores["medium"].truth, scores["tiny"].truth) == (2, 1, 1)
    assert (scores["all"] + scores["all"]).truth == 4


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(1, 30))
def test_classes_add_up_to_all_and_all_is_the_plain_score(seed: int, voxel_size: float) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.repeat(rng.integers(0, 5, (4, 3, 3)), 3, axis=1), 3, axis=2)
    found = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 5, truth.shape), truth)
    overlap = instance_overlap(found, truth)
    thresholds = (0.5, 0.6, 0.7, 0.8)
    scores = instance_scores(overlap, voxel_size, thresholds)
    for counts in ("matched", "extra", "missed"):
        parts = np.sum([getattr(scores[name], counts) for name in SIZE_CLASSES], axis=0)
        assert parts.tolist() == getattr(scores["all"], counts).tolist()
    assert scores["all"].average_precision == pytest.approx(instance_average_precision(overlap, thresholds))


def test_thresholds_at_which_a_match_is_not_unique_are_refused() -> None:
    with pytest.raises(ValueError, match="thresholds"):
        instance_scores(instance_overlap(np.ones((1, 1, 1), int), np.ones((1, 1, 1), int)), 6.8, (0.4,))
