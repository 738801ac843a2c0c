"""Walk through volumes in blocks, and views of label volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume

BLOCK: Final = 256
"""Edge of a block; also the chunk of copick and of the data portal."""

_EXACT_IN_FLOAT32: Final = 2**24


def boxes(shape: tuple[int, int, int]) -> Iterator[Box]:
    """Yield the boxes of ``BLOCK`` cubed voxels that fill a volume, x fastest."""
    for z in range(0, shape[0], BLOCK):
        for y in range(0, shape[1], BLOCK):
            for x in range(0, shape[2], BLOCK):
                first = (z, y, x)
                a, b, c = (slice(s, min(s + BLOCK, size)) for s, size in zip(first, shape, strict=True))
                yield a, b, c


def largest_label(labels: Volume) -> int:
    """Return the largest label of a volume, read block by block.

    Raises
    ------
    ValueError
        If a label is negative, no whole number, or too large to be exact in float32.
    """
    largest = 0
    for box in boxes(labels.shape):
        block = labels.read(box)
        if (block < 0).any() or (block != np.floor(block)).any() or block.max(initial=0) >= _EXACT_IN_FLOAT32:
            raise ValueError(f"labels must be whole numbers from 0 to {_EXACT_IN_FLOAT32 - 1}")
        largest = max(largest, int(block.max(initial=0)))
    return largest


class RelabelledVolume:
    """A view of a label volume in which every label is replaced by another; 0 stays 0.

    Parameters
    ----------
    labels
        Label volume (z, y, x).
    new_labels
        New label of every label that occurs.
    """

    def __init__(self, labels: Volume, new_labels: dict[int, int]) -> None:
        self._labels = labels
        self._table = np.full(max(new_labels, default=0) + 1, -1, dtype=np.int64)
        self._table[0] = 0
        for old, new in new_labels.items():
            self._table[old] = new

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        return self._labels.shape

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the new labels of ``box``.

        Raises
        ------
        ValueError
            If a label occurs that has no new one.
        """
        old = self._labels.read(box).astype(np.int64)
        if old.size and (old.min() < 0 or old.max() >= len(self._table) or (self._table[old] < 0).any()):
            raise ValueError("a label is not among those that have a name")
        return self._table[old].astype(np.float32)
