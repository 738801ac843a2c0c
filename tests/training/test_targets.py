"""Targets of the instance heads, on objects small enough to work out by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.training.targets import MAX_DISTANCE_VOXELS, instance_targets


def test_distance_counts_from_the_objects_own_edge() -> None:
    labels = np.zeros((9, 9, 9), np.int32)
    labels[2:7, 2:7, 2:7] = 1
    distance = instance_targets(labels)["distance"]
    assert distance[0, 0, 0] == 0
    assert distance[2, 4, 4] == 0.5
    assert distance[3, 4, 4] == 1.5
    assert distance[4, 4, 4] == 2.5


def test_touching_objects_are_parted_by_a_boundary() -> None:
    labels = np.zeros((5, 5, 10), np.int32)
    labels[:, :, :5], labels[:, :, 5:] = 1, 2
    targets = instance_targets(labels)
    assert targets["foreground"].all()
    assert targets["boundary"][2, 2].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert targets["distance"][2, 2, 4] == targets["distance"][2, 2, 5] == 0.5
    assert targets["distance"][2, 2, 3] == 1.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_targets_agree_with_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.repeat(np.repeat(rng.integers(0, 4, (3, 3, 3)), 4, 0), 4, 1), 4, 2).astype(np.int32)
    targets = instance_targets(labels)
    assert ((targets["distance"] > 0) == (labels > 0)).all()
    assert targets["distance"].max() <= MAX_DISTANCE_VOXELS
    assert (targets["distance"][(targets["boundary"] > 0) & (labels > 0)] == 0.5).all()
    assert np.array_equal(targets["foreground"] > 0, labels > 0)
