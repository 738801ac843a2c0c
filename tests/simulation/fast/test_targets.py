"""Compiled training targets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cryosiam.simulation.fast.targets import MAX_DISTANCE_VOXELS, boundary_and_distance


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(*[st.integers(1, 24)] * 3), objects=st.integers(0, 6))
def test_distance_is_the_euclidean_one_to_the_own_edge(seed: int, shape: tuple[int, int, int], objects: int) -> None:
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, np.int32)
    for number in range(1, objects + 1):
        low = [int(rng.integers(0, n)) for n in shape]
        instances[tuple(slice(a, a + int(rng.integers(1, 18))) for a in low)] = number
    boundary, distance = boundary_and_distance(instances)
    edge = np.zeros(shape, bool)
    for axis in range(3):
        for step in (-1, 1):
            neighbour = np.roll(instances, step, axis)
            inside = np.ones(shape[axis], bool)
            inside[0 if step == 1 else -1] = False
            edge |= (neighbour != instances) & inside.reshape([-1 if one == axis else 1 for one in range(3)])
    np.testing.assert_array_equal(boundary, edge)
    core = (instances > 0) & ~edge
    expected = np.where(instances > 0, 0.5, 0.0)
    if not core.all():
        expected += ndimage.distance_transform_edt(core)
    else:
        expected += MAX_DISTANCE_VOXELS
    assert distance == pytest.approx(np.minimum(expected, MAX_DISTANCE_VOXELS), rel=1e-6)
