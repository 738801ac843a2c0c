"""The way of the beam through the ice, and the electrons that get through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.geometry import volume_centre_index
from cryosiam.tomography.projection import project

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINNING: Final = 4
"""The sample mask is averaged over cubes of so many voxels before it is projected: ice has no detail."""


class IcePath:
    """Length of the beam's way through the sample, for each pixel of each tilt image.

    Parameters
    ----------
    sample
        ``(z, y, x)`` bool: inside the slab. It goes on along x by its mirror image.
    voxel_size_angstrom
        Edge of the voxel.
    tilt_angles_deg
        ``(n,)`` tilts.
    width
        Width of the images in pixels.
    """

    def __init__(
        self,
        sample: NDArray[np.bool_],
        voxel_size_angstrom: float,
        tilt_angles_deg: NDArray[np.float64],
        width: int,
    ) -> None:
        depth, self._height, columns = sample.shape
        self._width = width
        self._unit = np.float32(_BINNING * voxel_size_angstrom)
        coarse = _binned(sample)
        coarse_width = width // _BINNING + 4
        self._paths = project(coarse, tilt_angles_deg, image_width=coarse_width, mirror=True)
        tilts = np.deg2rad(tilt_angles_deg)
        # Both projections turn about their own centre voxel; that of the coarse one lies beside the fine one's.
        beside_z, beside_x = (_centre_offset(coarse.shape[axis], size) for axis, size in ((0, depth), (2, columns)))
        self._centres = beside_x * np.cos(tilts) + beside_z * np.sin(tilts)

    def image(self, tilt: int) -> NDArray[np.float32]:
        """Return the path in Å of the tilt of that index, ``(y, u)``."""
        coarse = self._paths[tilt]
        first_row = (_BINNING - 1) / 2
        rows = _interpolation((np.arange(self._height) - first_row) / _BINNING, coarse.shape[0])
        u = np.arange(self._width) - volume_centre_index(self._width) - self._centres[tilt]
        columns = _interpolation(u / _BINNING + volume_centre_index(coarse.shape[1]), coarse.shape[1])
        path: NDArray[np.float32] = (rows @ coarse @ columns.T) * self._unit
        return path


def transmission(path_angstrom: NDArray[np.float32], inelastic_mean_free_path_nm: float) -> NDArray[np.float32]:
    """Return the share of electrons that pass the energy filter; a mean free path of 0 loses none."""
    if inelastic_mean_free_path_nm <= 0:
        return np.ones_like(path_angstrom)
    share: NDArray[np.float32] = np.exp(path_angstrom * np.float32(-0.1 / inelastic_mean_free_path_nm))
    return share


def _binned(sample: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Average cubes of voxels; beyond its faces along z the volume is empty, along y and x it goes on."""
    depth, height, width = (-(-size // _BINNING) for size in sample.shape)
    coarse = np.zeros((depth, height, width), np.float32)
    more_y, more_x = height * _BINNING - sample.shape[1], width * _BINNING - sample.shape[2]
    for z in range(depth):
        plane = sample[z * _BINNING : (z + 1) * _BINNING].sum(axis=0, dtype=np.uint8)
        plane = np.pad(plane, ((0, more_y), (0, more_x)), mode="edge")
        coarse[z] = plane.reshape(height, _BINNING, width, _BINNING).sum(axis=(1, 3), dtype=np.uint16)
    coarse /= _BINNING**3
    return coarse


def _centre_offset(coarse_size: int, size: int) -> float:
    """Return where the binned volume's centre voxel lies, in voxels from the volume's centre voxel."""
    return volume_centre_index(coarse_size) * _BINNING + (_BINNING - 1) / 2 - volume_centre_index(size)


def _interpolation(places: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Return the matrix that samples ``size`` values at fractional indices; the ends go on as they are."""
    clipped = np.clip(places, 0, size - 1)
    hats: NDArray[np.float64] = np.maximum(1 - np.abs(clipped[:, None] - np.arange(size)), 0)
    return hats.astype(np.float32)
