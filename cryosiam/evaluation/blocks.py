"""Walk two label volumes together, block by block, so that the memory does not grow with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain.tomogram import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box

BLOCK: Final = 256
"""Edge of a block along y and x: also the chunk of copick and of the data portal, so a chunk is unpacked once."""

SLAB: Final = 32
"""Depth of a block."""

LabelSource = Any
"""A label volume: an integer array ``(z, y, x)``, a memory map of one, or a `Volume`."""


def boxes(shape: tuple[int, ...]) -> Iterator[Box]:
    """Yield boxes that fill a volume, z fastest: slabs of one column of chunks follow one another."""
    for y in range(0, shape[1], BLOCK):
        for x in range(0, shape[2], BLOCK):
            for z in range(0, shape[0], SLAB):
                yield (
                    slice(z, min(z + SLAB, shape[0])),
                    slice(y, min(y + BLOCK, shape[1])),
                    slice(x, min(x + BLOCK, shape[2])),
                )


def label_blocks(
    predicted: LabelSource, truth: LabelSource
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Yield the labels of both volumes, block by block.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if tuple(predicted.shape) != tuple(truth.shape):
        raise ValueError(f"prediction is {tuple(predicted.shape)} and truth is {tuple(truth.shape)}")
    for box in boxes(truth.shape):
        yield _labels(predicted, box), _labels(truth, box)


def _labels(source: LabelSource, box: Box) -> NDArray[np.integer]:
    # A volume reads as float32, which holds whole numbers exactly up to 2**24.
    return source.read(box).astype(np.int32) if isinstance(source, Volume) else np.asarray(source[box])
