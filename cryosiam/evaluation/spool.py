"""Volumes on a plain scratch file: read in any order, as often as needed, without keeping them in memory."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.evaluation.blocks import boxes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume


@dataclass(frozen=True)
class FileVolume:
    """A volume in a file of float32 values in C order. The file is mapped for the moment of a read only.

    Parameters
    ----------
    path
        The file.
    shape
        Size in voxels along z, y, x.
    """

    path: Path
    shape: tuple[int, int, int]

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order."""
        return np.array(np.memmap(self.path, np.float32, "r", shape=self.shape)[box], order="C")


@contextmanager
def spooled(volume: Volume, path: Path, sign: float = 1.0) -> Iterator[FileVolume]:
    """Copy a volume to a scratch file that is there as long as the context.

    Parameters
    ----------
    volume
        To be copied, chunk by chunk.
    path
        The file; four bytes a voxel.
    sign
        Factor on the values.
    """
    try:
        with path.open("wb") as stream:
            stream.truncate(4 * int(np.prod(volume.shape, dtype=np.int64)))
        for box in boxes(volume.shape):
            np.memmap(path, np.float32, "r+", shape=volume.shape)[box] = sign * volume.read(box)
        yield FileVolume(path, volume.shape)
    finally:
        path.unlink(missing_ok=True)
