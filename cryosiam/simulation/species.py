"""A species: the density of one kind of particle on a common scale, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MASK_THRESHOLD: Final = 0.25
"""Density (bulk protein = 1) above which a voxel belongs to a particle."""

SMOOTHING_VOXELS: Final = 0.5
"""Standard deviation of the Gaussian that limits densities to the voxel size."""


_PORE_VOXELS: Final = 2
_MAP_CEILING: Final = 1.3


@dataclass(frozen=True)
class Species:
    """One kind of particle.

    Parameters
    ----------
    name
        Class name, without underscores.
    density
        ``(n, n, n)`` float32 (z, y, x), n odd: potential above that of the solvent, in units of bulk protein, so
        protein is about 1, nucleic acid about 1.4. The particle is centred on voxel ``n // 2``; there is room
        for it in every orientation.
    mask
        ``(n, n, n)`` bool: the particle, its closed cavities filled.
    radius_angstrom
        Largest distance of the mask from the centre.
    """

    name: str
    density: NDArray[np.float32]
    mask: NDArray[np.bool_]
    radius_angstrom: float

    @property
    def volume_voxels(self) -> int:
        """Voxels of the mask."""
        return int(np.count_nonzero(self.mask))


def species_from_density(name: str, density: NDArray[np.floating], voxel_size_angstrom: float) -> Species:
    """Make a species of a density that is already on the scale and voxel size wanted.

    Parameters
    ----------
    name
        Class name, without underscores.
    density
        ``(z, y, x)`` of any size, bulk protein = 1; it is centred on the mask's centre of mass.
    voxel_size_angstrom
        Edge of its voxel in Å.

    Raises
    ------
    ValueError
        If the name holds an underscore, or no voxel is dense enough to be a particle.
    """
    if "_" in name or not name:
        raise ValueError(f"species name {name!r} is empty or has an underscore, which copick does not allow")
    mask = particle_mask(density)
    if not mask.any():
        raise ValueError(f"species {name} has no voxel denser than {MASK_THRESHOLD} of protein")
    centre = np.array(ndimage.center_of_mass(mask))
    reach = float(np.sqrt(((np.argwhere(mask) - centre) ** 2).sum(1).max()))
    half = int(np.ceil(reach)) + 3
    cube = np.zeros((2 * half + 1,) * 3, np.float32)
    ndimage.affine_transform(
        density.astype(np.float32), np.eye(3), offset=centre - half, output_shape=cube.shape, output=cube, order=3
    )
    cube[np.abs(cube) < 1e-3] = 0
    mask = particle_mask(cube)
    offsets = np.argwhere(mask) - half
    radius = float(np.sqrt((offsets**2).sum(1).max()))
    return Species(name, cube, mask, radius * voxel_size_angstrom)


def particle_mask(density: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the largest connected body above :data:`MASK_THRESHOLD`, its cavities filled.

    A capsid's pores do not make its inside part of the solvent: they are closed before filling.
    """
    labels, count = ndimage.label(density > MASK_THRESHOLD, np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(density.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body: NDArray[np.bool_] = labels == sizes.argmax()
    roomy = np.pad(body, _PORE_VOXELS + 1)
    closed = ndimage.binary_closing(roomy, iterations=_PORE_VOXELS)
    filled = ndimage.binary_fill_holes(closed)
    inner = slice(_PORE_VOXELS + 1, -_PORE_VOXELS - 1)
    has_cavity = bool((filled & ~closed).any())
    return filled[inner, inner, inner] if has_cavity else body


def species_from_map(
    path: Path | str,
    name: str,
    voxel_size_angstrom: float,
    *,
    map_voxel_size_angstrom: float | None = None,
    inverted: bool = False,
    bulk_density: float = 1.0,
) -> Species:
    """Read a species from an MRC map, plain or compressed.

    Grey scales of maps are arbitrary, so the map is scaled to make its dense part (95th percentile of the
    body) ``bulk_density``.

    Parameters
    ----------
    path
        MRC file.
    name
        Class name, without underscores.
    voxel_size_angstrom
        Voxel size wanted.
    map_voxel_size_angstrom
        The map's voxel size where its header is wrong or silent.
    inverted
        True where protein is low in the map.
    bulk_density
        Density of the dense part, bulk protein = 1; about 1.25 for a ribosome.

    Raises
    ------
    InputError
        If the file cannot be read as MRC, or gives no voxel size.
    """
    import mrcfile

    try:
        with mrcfile.open(path, permissive=False) as file:
            values = np.array(file.data, np.float32)
            header_voxel = float(file.voxel_size.x)
    except (OSError, ValueError) as problem:
        raise InputError(f"{path} cannot be read as an MRC map ({problem}); give another file.") from problem
    source_voxel = header_voxel if map_voxel_size_angstrom is None else map_voxel_size_angstrom
    if not source_voxel > 0:
        raise InputError(f"{path} has no voxel size in its header; give map_voxel_size_angstrom.")
    values = values * (-1 if inverted else 1)
    values -= np.median(values)
    zoom = source_voxel / voxel_size_angstrom
    if zoom < 1:
        values = ndimage.gaussian_filter(values, SMOOTHING_VOXELS * float(np.sqrt(1 / zoom**2 - 1)))
    if abs(zoom - 1) > 1e-4:
        values = ndimage.zoom(values, zoom, order=3)
    body = values > 0.2 * np.percentile(values[values > 0.05 * values.max()], 95)
    dense = float(np.percentile(values[body], 95))
    return species_from_density(name, np.clip(values / dense, 0, _MAP_CEILING) * bulk_density, voxel_size_angstrom)
