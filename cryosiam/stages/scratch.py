"""Intermediate results of one run on disk: voxel maps, which are large, and tables, which are small."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

    from cryosiam.domain.tomogram import Volume


@dataclass(frozen=True)
class MapArray:
    """An array in a ``.npy`` file that is mapped anew for each access.

    Pages of a map that stays open count as this process's memory, so that a large volume would look like a leak.
    A slice is a view into the file: what is written to it goes to disk.

    Parameters
    ----------
    path
        The file.
    shape, dtype
        Of the array in it.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path) -> MapArray:
        """Return the array in ``path``."""
        mapped = np.load(path, mmap_mode="r")
        return cls(path, mapped.shape, mapped.dtype)

    def __getitem__(self, box: Any) -> NDArray[Any]:
        part: NDArray[Any] = np.load(self.path, mmap_mode="r+")[box]
        return part

    def __setitem__(self, box: Any, values: Any) -> None:
        np.load(self.path, mmap_mode="r+")[box] = values


@dataclass(frozen=True)
class Scratch:
    """Folder of the intermediate results of one run.

    Parameters
    ----------
    folder
        Where they lie; made when first written to.
    """

    folder: Path

    def maps_folder(self, name: str) -> Path:
        """Return the folder of the group of voxel maps ``name``."""
        return self.folder / "maps" / name

    def map_path(self, name: str) -> Path:
        """Return the file of the single voxel map ``name``."""
        return self.folder / "maps" / f"{name}.npy"

    def table_path(self, name: str) -> Path:
        """Return the file of the table ``name``."""
        return self.folder / f"{name}.npz"

    def has(self, name: str) -> bool:
        """Return True if the map, group of maps or table ``name`` is there."""
        return any(path.exists() for path in (self.map_path(name), self.maps_folder(name), self.table_path(name)))

    def map(self, name: str) -> Volume:
        """Return the single voxel map ``name`` for reading region by region."""
        from cryosiam.inference.outputs import NpyVolume

        path = self.map_path(name)
        z, y, x = np.load(path, mmap_mode="r").shape
        return NpyVolume(path, (int(z), int(y), int(x)))

    def create_map(self, name: str, shape: tuple[int, int, int], dtype: DTypeLike) -> MapArray:
        """Return a new map of zeros, ``(z, y, x)``, written through to disk."""
        path = self.map_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        _reserve(path)
        return MapArray.open(path)

    def array(self, name: str) -> MapArray:
        """Return the single voxel map ``name`` as an array."""
        return MapArray.open(self.map_path(name))

    def save_table(self, name: str, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Write a table of named arrays, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.table_path(name)) as temporary, temporary.open("wb") as stream:
            arrays: dict[str, Any] = {key: np.asarray(value) for key, value in columns.items()}
            np.savez_compressed(stream, **arrays)

    def table(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the named arrays of a table."""
        with np.load(self.table_path(name), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def drop_maps(self) -> None:
        """Remove the voxel maps; the tables stay."""
        shutil.rmtree(self.folder / "maps", ignore_errors=True)


def _reserve(path: Path) -> None:
    """Claim the file's space on the disk now: a disk that fills up under a memory map kills the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
