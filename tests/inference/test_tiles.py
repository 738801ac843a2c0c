"""The tile planner: cores partition the volume, halos are exact, memory buys fewer computed voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.inference.tiles import TilePlan, box_voxels, plan_tiles

SHAPES = st.tuples(*[st.integers(1, 150)] * 3)


def plan(shape: tuple[int, int, int], multiple: int, halo: int, affordable: int, alignment: int = 1) -> TilePlan:
    return plan_tiles(
        shape, multiple=multiple, halo=halo, bytes_per_voxel=1.0, memory_bytes=affordable, alignment=alignment
    )


@settings(deadline=None, max_examples=150)
@given(
    shape=SHAPES,
    multiple=st.sampled_from([1, 2, 4, 8]),
    halo_steps=st.integers(0, 3),
    affordable=st.integers(30_000, 600_000),
    alignment=st.sampled_from([1, 8]),
)
def test_plans_are_exact(
    shape: tuple[int, int, int], multiple: int, halo_steps: int, affordable: int, alignment: int
) -> None:
    halo = halo_steps * multiple
    try:
        cut = plan(shape, multiple, halo, affordable, alignment)
    except InputError:
        smallest = (2 * (halo + 2 * max(multiple, alignment)) + 2 * max(multiple, alignment)) ** 3
        assert affordable < smallest
        return
    covered = np.zeros(shape, np.int32)
    for tile in cut.tiles:
        covered[tile.core] += 1
        assert box_voxels(tile.read) <= affordable
        for read, core, crop, size, padded in zip(
            tile.read, tile.core, tile.crop, shape, cut.padded_shape, strict=True
        ):
            assert padded - size in range(multiple)
            assert read.start % multiple == 0
            assert read.stop % multiple == 0
            assert core.start % max(multiple, alignment) == 0
            assert core.stop > core.start
            assert read.start == 0 or core.start - read.start >= halo
            assert read.stop == padded or read.stop - core.stop >= halo
            assert (crop.start + read.start, crop.stop + read.start) == (core.start, core.stop)
    assert (covered == 1).all()


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, small=st.integers(200_000, 600_000), more=st.integers(0, 3_000_000))
def test_more_memory_never_costs_more(shape: tuple[int, int, int], small: int, more: int) -> None:
    assert plan(shape, 8, 16, small + more).computed_voxels <= plan(shape, 8, 16, small).computed_voxels


def test_one_tile_when_it_fits() -> None:
    (tile,) = plan((5, 30, 31), 8, 48, 10**6).tiles
    assert tile.read == (slice(0, 8), slice(0, 32), slice(0, 32))
    assert tile.core == tile.crop == (slice(0, 5), slice(0, 30), slice(0, 31))


def test_too_little_memory_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"cannot hold the smallest tile .* needs \d+ MB; give more with --memory"):
        plan((200, 600, 600), 8, 48, 10_000)
