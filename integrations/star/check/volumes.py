"""Tomogram files of the particles: their voxels stay on disk, and a few places of them are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.star.check.places import plain_name
from cryosiam.integrations.star.check.tomograms import ListedTomogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.integrations.star.check.context import Context


@dataclass(frozen=True)
class OpenVolume:
    """An MRC file of a tomogram.

    Parameters
    ----------
    path
        The file.
    voxels
        Memory map of shape ``(z, y, x)``.
    voxel_size_angstrom
        What its header says, or the user.
    """

    path: Path
    voxels: NDArray[np.generic]
    voxel_size_angstrom: float

    @property
    def size_xyz(self) -> tuple[int, int, int]:
        """Size in voxels along x, y and z."""
        z, y, x = self.voxels.shape
        return x, y, z


def open_volume(path: Path, voxel_size_angstrom: float | None = None) -> OpenVolume:
    """Open an MRC file.

    Raises
    ------
    InputError
        If it is not there or damaged, or nothing says how large its voxels are.
    """
    from cryosiam.integrations.mrc.header import read_layout, voxel_size_of

    if not path.is_file():
        raise InputError(f"there is no file {path}; give the MRC file of the tomogram")
    layout = read_layout(path)
    voxels = np.memmap(path, dtype=layout.dtype, mode="r", offset=layout.offset, shape=layout.shape)
    return OpenVolume(path, voxels, voxel_size_angstrom or voxel_size_of(path, layout))


def tomograms_of_files(context: Context, files: Sequence[Path]) -> Mapping[str, ListedTomogram]:
    """Return tomograms of files that the user gave, by plain name; facts of tomograms.star are kept.

    A file belongs to the particles of its name, or to all where it is the only one and all are of one tomogram.

    Raises
    ------
    InputError
        If a file cannot be used, or it cannot be told which particles it belongs to.
    """
    known = dict(context.frames)
    names = {plain_name(name) for name in context.names} or {""}
    for path in files:
        if not path.is_file():
            raise InputError(f"there is no file {path}; give the MRC file of the tomogram")
        name = plain_name(path.name).removeprefix("rec_")
        if name not in names:
            if len(names) > 1 or len(files) > 1:
                raise InputError(
                    f"{path.name} has the name of no tomogram of {context.path.name}; name it as rlnTomoName does"
                )
            name = next(iter(names))
        known[name] = _with_file(context, known.get(name), name, path)
    return known


def _with_file(context: Context, listed: ListedTomogram | None, name: str, path: Path) -> ListedTomogram:
    if listed is not None and listed.unbinned_size_xyz is not None:
        return replace(listed, file=path)
    volume = open_volume(path, context.voxel_size_angstrom)
    pixel = context.pixel_size_angstrom or volume.voxel_size_angstrom
    binning = volume.voxel_size_angstrom / pixel
    x, y, z = (size * binning for size in volume.size_xyz)
    return ListedTomogram(name, (x, y, z), pixel, binning, {}, path)
