"""What another program knows of a tomogram."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryosiam.integrations.star.frame import Optics


@dataclass(frozen=True)
class KnownTomogram:
    """A tomogram as another program's metadata describe it.

    Parameters
    ----------
    name
        The program's name, for example ``rlnTomoName``.
    pixel_size_angstrom
        Pixel size of the tilt series in Å.
    unbinned_size_xyz
        Size (x, y, z) of the tomogram in pixels of the tilt series.
    binning
        Voxel size of the reconstruction over the pixel size.
    optics
        Optics of the tilt series.
    tomogram_path, denoised_path
        The reconstruction and its denoised version, as the metadata write them.
    half_paths
        The two reconstructions from half of the data each.
    """

    name: str
    pixel_size_angstrom: float | None = None
    unbinned_size_xyz: tuple[float, float, float] | None = None
    binning: float | None = None
    optics: Optics | None = None
    tomogram_path: str | None = None
    half_paths: tuple[str, str] | None = None
    denoised_path: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Files of the tomogram in all its versions."""
        return tuple(path for path in (self.tomogram_path, self.denoised_path, *(self.half_paths or ())) if path)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of these files without folder and ending."""
        return tuple(PurePosixPath(path).stem for path in self.paths)
