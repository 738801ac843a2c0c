"""Regions of a chunked volume are those of the array, whatever the chunks, the cache and the threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.domain.tomogram import Box, Volume
from cryosiam.integrations.copick.zarr_volume import ZarrVolume


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, int, int], tuple[int, int, int], list[Box], int]:
    z, y, x = (draw(st.integers(1, 9)) for _ in range(3))
    chunks = (draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 12)))

    def side(size: int) -> slice:
        start = draw(st.integers(0, size - 1))
        return slice(start, draw(st.integers(start + 1, size)))

    boxes = [(side(z), side(y), side(x)) for _ in range(draw(st.integers(1, 4)))]
    return (z, y, x), chunks, boxes, draw(st.sampled_from([0, 100, 10**6]))


@settings(deadline=None)
@given(cases())
def test_regions(case: tuple[tuple[int, int, int], tuple[int, int, int], list[Box], int]) -> None:
    shape, chunks, boxes, cache_bytes = case
    voxels = np.random.default_rng(0).integers(-99, 99, shape).astype(np.int16)
    volume = ZarrVolume(zarr.array(voxels, chunks=chunks), "memory", cache_bytes)
    assert isinstance(volume, Volume)
    assert volume.shape == shape
    for box in boxes:
        block = volume.read(box)
        assert block.dtype == np.float32
        np.testing.assert_array_equal(block, voxels[box])
        block[:] = 0  # what is kept must not be what was given


def test_threads() -> None:
    voxels = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    volume = ZarrVolume(zarr.array(voxels, chunks=(8, 8, 8)), "memory", 3000)
    boxes = [(slice(a, a + 9), slice(b, b + 7), slice(0, 20)) for a in range(0, 10, 3) for b in range(0, 12, 3)]
    with ThreadPoolExecutor(4) as pool:
        for box, block in zip(boxes, pool.map(volume.read, boxes), strict=True):
            np.testing.assert_array_equal(block, voxels[box])
