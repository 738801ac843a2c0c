"""Cubes around particles, kept where they are: in memory, or in files that are read when a batch asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class StoredCubes:
    """Cubes in one or more blocks; parts of a set share its blocks.

    Parameters
    ----------
    blocks
        Arrays ``(m, channels, box, box, box)`` float16, or NumPy files of them. Files are not held open: there may be
        more than a process may open.
    places
        ``(n, 2)`` int64: the block of each cube, and its row there.
    """

    blocks: tuple[NDArray[np.float16] | Path, ...]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, block: NDArray[np.float16] | Path) -> StoredCubes:
        """Return all cubes of one block."""
        rows = np.arange(len(_opened(block)), dtype=np.int64)
        return cls((block,), np.stack([np.zeros_like(rows), rows], axis=1))

    @classmethod
    def joined(cls, parts: Sequence[StoredCubes]) -> StoredCubes:
        """Return the cubes of several sets, one set after the other."""
        blocks: list[NDArray[np.float16] | Path] = []
        places = []
        for part in parts:
            places.append(part.places + np.array([len(blocks), 0]))
            blocks.extend(part.blocks)
        return cls(tuple(blocks), np.concatenate(places))

    def __len__(self) -> int:
        return len(self.places)

    def select(self, mask: NDArray[np.bool_]) -> StoredCubes:
        """Return the cubes where ``mask`` (``(n,)`` bool) is true."""
        return StoredCubes(self.blocks, self.places[mask])

    def read(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return ``(len(index), channels, box, box, box)`` cubes."""
        places = self.places[index]
        cubes = np.empty((len(index), *_opened(self.blocks[0]).shape[1:]), np.float32)
        for number in np.unique(places[:, 0]):
            wanted = np.flatnonzero(places[:, 0] == number)
            cubes[wanted] = _opened(self.blocks[number])[places[wanted, 1]]
        return cubes


def _opened(block: NDArray[np.float16] | Path) -> NDArray[np.float16]:
    return np.load(block, mmap_mode="r") if isinstance(block, Path) else block
