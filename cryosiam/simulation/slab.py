"""The lamella or ice layer that a specimen lies in: tilted, wedge-shaped, with rough faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.geometry import volume_centre_index
from cryosiam.simulation.spec import fixed
from cryosiam.simulation.structures import ICE_POTENTIAL_VOLT, PROTEIN_CONTRAST_VOLT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SlabSpec

ROUGHNESS_SCALE_ANGSTROM: Final = 500.0
"""Length over which a face undulates."""

_LARGEST_SHARE_OUTSIDE: Final = 0.25
_ICE: Final = ICE_POTENTIAL_VOLT / PROTEIN_CONTRAST_VOLT


@dataclass(frozen=True)
class Slab:
    """A slab between two faces, in a volume that is empty elsewhere.

    Parameters
    ----------
    voxel_size_angstrom
        Edge of the voxel.
    sample
        ``(z, y, x)`` bool: voxels whose centre lies between the faces.
    lower, upper
        ``(y, x)`` float32 heights of the faces, in fractional voxel indices along z.
    even_lower, even_upper
        The same without roughness: two planes.
    """

    voxel_size_angstrom: float
    sample: NDArray[np.bool_]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    even_lower: NDArray[np.float32]
    even_upper: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of the volume in voxels along z, y, x."""
        z, y, x = self.sample.shape
        return z, y, x

    @property
    def surface(self) -> NDArray[np.float32]:
        """``(z, y, x)`` float32: ice of the rough slab less that of the even one, in units of bulk protein.

        Voxels that a face cuts count by the share below or above it. The array is made anew at each call.
        """
        volume = np.zeros(self.shape, np.float32)
        _add_layer(volume, self.lower, self.upper, np.float32(_ICE))
        _add_layer(volume, self.even_lower, self.even_upper, np.float32(-_ICE))
        return volume


def make_slab(
    shape_zyx: tuple[int, int, int], voxel_size_angstrom: float, spec: SlabSpec, rng: np.random.Generator
) -> Slab:
    """Make a slab about the volume's centre.

    Parameters
    ----------
    shape_zyx
        Volume in voxels.
    voxel_size_angstrom
        Edge of the voxel.
    spec
        Thickness, tilt, wedge and roughness, drawn (see :func:`cryosiam.simulation.spec.fixed`).
    rng
        Source of the roughness.

    Returns
    -------
    Slab
        Its thickness at the centre, along the normal of the middle plane, is the one asked for.

    Raises
    ------
    InputError
        If the slab is thicker than the volume is deep at the centre, or leans so much that more than a quarter of
        it lies outside the volume.
    """
    nz, ny, nx = shape_zyx
    azimuth = np.deg2rad(fixed(spec.azimuth_deg))
    y = np.arange(ny)[:, None] - volume_centre_index(ny)
    x = np.arange(nx)[None, :] - volume_centre_index(nx)
    along = np.cos(azimuth) * x + np.sin(azimuth) * y
    even_lower, even_upper = _even_faces(along, volume_centre_index(nz), voxel_size_angstrom, spec)
    _check_fit(even_lower, even_upper, shape_zyx, voxel_size_angstrom, spec)
    rms_voxels = fixed(spec.roughness_angstrom) / voxel_size_angstrom
    scale_voxels = ROUGHNESS_SCALE_ANGSTROM / voxel_size_angstrom
    lower = even_lower + rms_voxels * undulation((ny, nx), scale_voxels, rng)
    upper = even_upper + rms_voxels * undulation((ny, nx), scale_voxels, rng)
    sample = np.zeros(shape_zyx, bool)
    _fill_between(sample, lower, upper)
    return Slab(voxel_size_angstrom, sample, lower, upper, even_lower, even_upper)


def undulation(shape_yx: tuple[int, int], scale_voxels: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth random field of unit variance and zero mean expectation.

    Parameters
    ----------
    shape_yx
        Size.
    scale_voxels
        Correlation length: the field is Gaussian noise on a grid of half this step, interpolated by cubic splines.
    rng
        Source of randomness.
    """
    step = max(1.0, scale_voxels / 2)
    margin = 4
    coarse = rng.standard_normal([int(np.ceil(n / step)) + 2 * margin for n in shape_yx])
    # Filtered white noise has this standard deviation; using it, not the sample's, keeps small fields fair.
    impulse = np.zeros((15, 15))
    impulse[7, 7] = 1
    width = 0.6
    coarse = ndimage.gaussian_filter(coarse, width) / np.sqrt((ndimage.gaussian_filter(impulse, width) ** 2).sum())
    grid = np.meshgrid(*[np.arange(n) / step + margin - 0.5 for n in shape_yx], indexing="ij")
    return ndimage.map_coordinates(coarse, grid, order=3).astype(np.float32)


def _even_faces(
    along: NDArray[np.float64], middle: int, voxel_size_angstrom: float, spec: SlabSpec
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the heights of two planes, ``wedge_deg`` apart, that pass half a thickness off the centre each."""
    tilt = np.deg2rad(fixed(spec.tilt_deg))
    half_wedge = np.deg2rad(fixed(spec.wedge_deg)) / 2
    half = fixed(spec.thickness_nm) * 10 / voxel_size_angstrom / 2
    # The normal (sin tilt, cos tilt) leans towards the azimuth, so the slab falls there.
    foot, height = half * np.sin(tilt), half * np.cos(tilt)
    upper = middle + height + np.tan(half_wedge - tilt) * (along - foot)
    lower = middle - height + np.tan(-half_wedge - tilt) * (along + foot)
    return lower.astype(np.float32), upper.astype(np.float32)


def _check_fit(
    lower: NDArray[np.float32],
    upper: NDArray[np.float32],
    shape_zyx: tuple[int, int, int],
    voxel_size_angstrom: float,
    spec: SlabSpec,
) -> None:
    nz, ny, nx = shape_zyx
    centre = (volume_centre_index(ny), volume_centre_index(nx))
    depth_nm = nz * voxel_size_angstrom / 10
    thickness_nm, tilt_deg = fixed(spec.thickness_nm), fixed(spec.tilt_deg)
    vertical = float(upper[centre] - lower[centre])
    if vertical > nz:
        raise InputError(
            f"a slab of {thickness_nm:g} nm at slab.tilt_deg {tilt_deg:g} is {vertical * depth_nm / nz:.0f} nm high "
            f"and does not fit a volume {depth_nm:g} nm deep; make thickness or tilt smaller, or the volume deeper"
        )
    whole = np.maximum(upper - lower, 0).sum(dtype=np.float64)
    inside = np.maximum(np.minimum(upper, nz - 0.5) - np.maximum(lower, -0.5), 0).sum(dtype=np.float64)
    if inside < (1 - _LARGEST_SHARE_OUTSIDE) * whole:
        raise InputError(
            f"{100 * (1 - inside / whole):.0f} % of a slab of {thickness_nm:g} nm at slab.tilt_deg {tilt_deg:g} and "
            f"slab.wedge_deg {fixed(spec.wedge_deg):g} lies outside a volume {depth_nm:g} nm deep; make these smaller"
        )


@njit(cache=True, nogil=True)
def _fill_between(sample: NDArray[np.bool_], lower: NDArray[np.float32], upper: NDArray[np.float32]) -> None:
    nz, ny, nx = sample.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                sample[z, y, x] = lower[y, x] <= z <= upper[y, x]


@njit(cache=True, nogil=True)
def _add_layer(
    volume: NDArray[np.float32], lower: NDArray[np.float32], upper: NDArray[np.float32], value: np.float32
) -> None:
    """Add ``value`` times the share of each voxel that lies between two heights."""
    nz, ny, nx = volume.shape
    half = np.float32(0.5)
    for z in range(nz):
        low, high = np.float32(z) - half, np.float32(z) + half
        for y in range(ny):
            for x in range(nx):
                share = min(upper[y, x], high) - max(lower[y, x], low)
                if share > 0:
                    volume[z, y, x] += value * share
