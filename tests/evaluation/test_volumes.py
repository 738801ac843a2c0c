from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from cryosiam.evaluation import dice_per_class, instance_average_precision, instance_overlap


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_dice_agrees_with_scikit_learn(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, (2, depth, 3, 4)).astype(np.uint8)
    expected = f1_score(b.ravel(), a.ravel(), labels=range(4), average=None, zero_division=np.nan)
    assert dice_per_class(a, b, 4) == pytest.approx(expected, nan_ok=True)


def test_dice_of_an_absent_class_is_nan() -> None:
    empty = np.zeros((2, 2, 2), np.uint8)
    assert dice_per_class(empty, empty, 2) == pytest.approx([1.0, np.nan], nan_ok=True)


def test_dice_refuses_unknown_labels_and_other_shapes() -> None:
    empty = np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(ValueError, match="0 to 1"):
        dice_per_class(empty + 3, empty, 2)
    with pytest.raises(ValueError, match="truth is"):
        dice_per_class(empty, empty[:1], 2)


def hand_case() -> tuple[np.ndarray, np.ndarray]:
    """Three true instances; one met well (IoU 0.8), one badly (IoU 0.25), one missed, one invented."""
    truth = np.zeros((40, 10), np.int32)
    found = np.zeros_like(truth)
    truth[0:10], found[0:8] = 1, 7
    truth[12:16], found[15:16] = 2, 3
    truth[20:24] = 3
    found[30:33] = 9
    return found[:, None, :], truth[:, None, :]


def test_instance_average_precision_by_hand() -> None:
    overlap = instance_overlap(*hand_case())
    assert overlap.iou == pytest.approx([0.25, 0.8])
    # One match; two false, two missed.
    assert instance_average_precision(overlap) == pytest.approx(1 / 5)
    assert instance_average_precision(overlap, [0.5, 0.75, 0.9]) == pytest.approx((1 / 5 + 1 / 5 + 0) / 3)


def test_instances_that_are_the_same_up_to_labels_are_perfect() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 50, (35, 6, 5)).astype(np.int32)
    relabelled = np.r_[0, rng.permutation(1000)[:49] + 1].astype(np.int32)[truth]
    overlap = instance_overlap(relabelled, truth)
    assert instance_average_precision(overlap, [0.5, 0.9]) == 1.0


def test_nothing_against_nothing_is_nan_and_thresholds_are_checked() -> None:
    empty = np.zeros((4, 4, 4), np.int32)
    assert np.isnan(instance_average_precision(instance_overlap(empty, empty)))
    with pytest.raises(ValueError, match="thresholds"):
        instance_average_precision(instance_overlap(empty, empty), [0.3])
