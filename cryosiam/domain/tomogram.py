"""Tomograms: a lazily read volume and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tilt_series import Hand

Box = tuple[slice, slice, slice]
"""A region of a volume: slices along z, y and x with concrete start and stop and no step."""


class Contrast(StrEnum):
    """Grey value of protein against the solvent."""

    DARK = "dark"
    """Protein darker than solvent, as recorded by the microscope."""
    BRIGHT = "bright"
    """Protein brighter than solvent (inverted)."""
    UNKNOWN = "unknown"


@runtime_checkable
class Volume(Protocol):
    """A 3D array that can be read region by region, axis order (z, y, x)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        ...

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order."""
        ...


@dataclass(frozen=True)
class ArrayVolume:
    """A volume over anything that slices like a NumPy array (memory map, zarr array, plain array).

    Parameters
    ----------
    array
        Array-like of shape ``(z, y, x)``; only the requested region is read.
    """

    array: NDArray[np.generic]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        z, y, x = self.array.shape
        return int(z), int(y), int(x)

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order."""
        return np.array(self.array[box], dtype=np.float32, order="C")


@dataclass(frozen=True)
class MissingWedge:
    """Angles seen by the tilt series, in degrees about the tilt axis.

    Parameters
    ----------
    tilt_min_deg, tilt_max_deg
        Smallest and largest tilt angle.
    tilt_axis
        Volume axis the sample was tilted about: ``"y"`` or ``"x"``.
    """

    tilt_min_deg: float
    tilt_max_deg: float
    tilt_axis: str = "y"


@dataclass(frozen=True)
class Tomogram:
    """One reconstructed volume of one run.

    Parameters
    ----------
    run
        Name of the run (one tilt series, one place on the grid).
    volume
        The voxels, axis order (z, y, x), read lazily.
    voxel_size_angstrom
        Edge of the cubic voxel in Å.
    tomogram_type
        Name of the reconstruction, such as ``"wbp"``.
    contrast
        Grey value of protein, where it is known.
    wedge, defocus_um, hand
        Acquisition facts, where they are known. ``defocus_um`` is positive for underfocus.
    source
        Where the voxels come from, for messages and for the manifest.
    """

    run: str
    volume: Volume
    voxel_size_angstrom: float
    tomogram_type: str
    source: str
    contrast: Contrast = Contrast.UNKNOWN
    wedge: MissingWedge | None = None
    defocus_um: float | None = None
    hand: Hand | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        return self.volume.shape
