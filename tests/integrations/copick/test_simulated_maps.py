"""Signed distances to the particles' surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from cryosiam.integrations.copick.simulated_volumes import signed_distance


def test_signed_distance_is_that_to_the_faces() -> None:
    instances = np.zeros((9, 9, 60), np.int32)
    instances[:, :, 10:20] = 1
    instances[:, :, 20:25] = 2
    line = signed_distance(instances, 2.0, limit_voxels=6)[4, 4] / 2.0
    assert list(line[7:25]) == [
        -2.5,
        -1.5,
        -0.5,
        0.5,
        1.5,
        2.5,
        3.5,
        4.5,
        4.5,
        3.5,
        2.5,
        1.5,
        0.5,
        0.5,
        1.5,
        2.5,
        1.5,
        0.5,
    ]
    assert line[30] == -5.5
    assert line[40] == line[59] == -6.0
    assert (signed_distance(np.zeros((3, 3, 3), np.int32), 2.0, 4) == -8).all()


@pytest.mark.parametrize("shape", [(13, 16, 300), (140, 20, 131)])
def test_signed_distance_does_not_depend_on_blocks(shape: tuple[int, int, int]) -> None:
    instances = np.zeros(shape, np.int32)
    rng = np.random.default_rng(1)
    for number, (z, y, x) in enumerate(rng.integers(0, np.array(shape) - 3, (40, 3)), start=1):
        instances[z : z + 9, y : y + 9, x : x + 9] = number
    whole = signed_distance(instances, 1.0, limit_voxels=300).clip(-4, 4)
    np.testing.assert_allclose(signed_distance(instances, 1.0, limit_voxels=4), whole)
    moved = np.roll(instances, (5, 0, 0), (2, 1, 0))[:, :, 5:]
    middle = (slice(None), slice(None), slice(10, -10))
    np.testing.assert_allclose(
        signed_distance(moved, 1.0, 4)[middle], signed_distance(instances[:, :, :-5], 1.0, 4)[middle]
    )
