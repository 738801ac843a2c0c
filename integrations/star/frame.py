"""How a picked tomogram lies in the frame of the program that its particles go to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from cryosiam.errors import InputError


@dataclass(frozen=True)
class Optics:
    """Optics group of a tilt series.

    Parameters
    ----------
    name
        Name of the group.
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        As RELION states them.
    """

    name: str
    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float


@dataclass(frozen=True)
class TomogramFrame:
    """What must be known of a tomogram to state places in it in another program's words.

    Parameters
    ----------
    run
        Name of the run, for example in copick.
    name
        The other program's name of the tomogram, for example ``rlnTomoName``.
    voxel_size_angstrom, size_xyz
        Voxel size in Å and size (x, y, z) in voxels of the tomogram that was picked.
    pixel_size_angstrom
        Pixel size of the tilt series in Å, ``a``.
    unbinned_size_xyz
        Size (x, y, z) of the tomogram in pixels of the tilt series, ``N``.
    optics
        Optics of the tilt series.
    tomogram_path
        File of the picked tomogram, as the other program names it.
    binned_by_averaging
        How many voxels along each axis were averaged into one of the picked tomogram; 1 where none were.

    Raises
    ------
    InputError
        If a size is not above zero.
    """

    run: str
    name: str
    voxel_size_angstrom: float | None = None
    size_xyz: tuple[int, int, int] | None = None
    pixel_size_angstrom: float | None = None
    unbinned_size_xyz: tuple[float, float, float] | None = None
    optics: Optics | None = None
    tomogram_path: str | None = None
    binned_by_averaging: int = 1

    def __post_init__(self) -> None:
        sizes = [self.voxel_size_angstrom, self.pixel_size_angstrom, self.binned_by_averaging]
        sizes += [*(self.size_xyz or ()), *(self.unbinned_size_xyz or ())]
        if not all(size is None or (math.isfinite(size) and size > 0) for size in sizes):
            raise InputError(
                f"tomogram '{self.name}' has a size, pixel size or binning that is not above zero; correct it"
            )


def coordinate_stem(path: str) -> str:
    """Return a tomogram's file as RELION 3.1 looks for its coordinates: without ending and without ``Job/job001/``.

    See ``getCoordinateFileName`` in RELION's preprocessing.cpp; the suffix that the user gives follows there.
    """
    parts = PurePosixPath(path).with_suffix("").parts
    jobs = [number for number, part in enumerate(parts) if part.startswith("job") and part[3:].isdigit()]
    kept = parts[jobs[0] + 1 :] if jobs else parts
    return "/".join(part for part in kept if part != "/")
