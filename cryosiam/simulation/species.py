"""A species: the density of one kind of particle on a common scale, its mask, mass and symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK_THRESHOLD: Final = 0.25
"""Density (bulk protein = 1) above which a voxel belongs to a particle."""

SMOOTHING_VOXELS: Final = 0.5
"""Standard deviation of the Gaussian that limits densities to the voxel size."""

CONTRAST_VOLUME_A3_PER_DALTON: Final = 1.23
"""Integral of the density (bulk protein = 1) per dalton: protein of 1.35 g/cm³; nucleic acid comes to nearly the same,
as it is heavier per volume and stronger in contrast."""

UNKNOWN_SYMMETRY: Final = "unknown"

SIZE_CLASSES_KDA: Final = (("tiny", 40.0), ("small", 200.0), ("medium", 600.0), ("big", 1000.0), ("very big", np.inf))
"""Size classes and the mass up to which each reaches (thesis section 3.3)."""

_PORE_ANGSTROM: Final = 20.0
_MASK_SMOOTHING_ANGSTROM: Final = 3.0
_MASK_SMOOTHING_FROM_ANGSTROM: Final = 5.0
_ROOM_VOXELS: Final = 3


def size_class(mass_kda: float) -> str:
    """Return the size class of a mass: ``tiny`` (< 40 kDa), ``small``, ``medium``, ``big`` or ``very big`` (> 1000).

    Raises
    ------
    ValueError
        If the mass is not a positive number.
    """
    if not mass_kda > 0:
        raise ValueError(f"a mass of {mass_kda} kDa has no size class")
    return next(name for name, limit in SIZE_CLASSES_KDA if mass_kda < limit or limit == np.inf)


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
    mass_kda
        From the atoms where there are any, else from the density's integral; 0 where nobody computed it.
    symmetry
        Point group in Schoenflies notation (``C1``, ``D7``, ``O``, ``I``), or ``unknown``.
    """

    name: str
    density: NDArray[np.float32]
    mask: NDArray[np.bool_]
    radius_angstrom: float
    mass_kda: float = 0.0
    symmetry: str = UNKNOWN_SYMMETRY

    @property
    def volume_voxels(self) -> int:
        """Voxels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def size_class(self) -> str:
        """Size class of its mass (:func:`size_class`)."""
        return size_class(self.mass_kda)


def species_from_density(
    name: str, density: NDArray[np.floating], voxel_size_angstrom: float, symmetry: str = UNKNOWN_SYMMETRY
) -> Species:
    """Make a species of a density that is already on the scale and voxel size wanted.

    Parameters
    ----------
    name
        Class name, without underscores.
    density
        ``(z, y, x)`` of any size, bulk protein = 1; it is centred on the mask's centre of mass.
    voxel_size_angstrom
        Edge of its voxel in Å.
    symmetry
        Its point group, where known.

    Raises
    ------
    ValueError
        If the name holds an underscore, or no voxel is dense enough to be a particle.
    """
    check_name(name)
    mask = particle_mask(density, voxel_size_angstrom)
    if not mask.any():
        raise ValueError(f"species {name} has no voxel denser than {MASK_THRESHOLD} of protein")
    centre = np.array(ndimage.center_of_mass(mask))
    reach = float(np.sqrt(((np.argwhere(mask) - centre) ** 2).sum(1).max()))
    half = int(np.ceil(reach)) + _ROOM_VOXELS
    cube = np.zeros((2 * half + 1,) * 3, np.float32)
    ndimage.affine_transform(
        density.astype(np.float32), np.eye(3), offset=centre - half, output_shape=cube.shape, output=cube, order=3
    )
    cube[np.abs(cube) < 1e-3] = 0
    mass_kda = float(cube.sum(dtype=np.float64)) * voxel_size_angstrom**3 / CONTRAST_VOLUME_A3_PER_DALTON / 1e3
    return species_from_centred(name, cube, voxel_size_angstrom, mass_kda, symmetry)


def species_from_centred(
    name: str, cube: NDArray[np.float32], voxel_size_angstrom: float, mass_kda: float, symmetry: str
) -> Species:
    """Make a species of a density in an odd cube, centred on its middle voxel already.

    Raises
    ------
    ValueError
        If no voxel is dense enough to be a particle.
    """
    check_name(name)
    mask = particle_mask(cube, voxel_size_angstrom)
    if not mask.any():
        raise ValueError(f"species {name} has no voxel denser than {MASK_THRESHOLD} of protein")
    offsets = np.argwhere(mask) - cube.shape[0] // 2
    radius = float(np.sqrt((offsets**2).sum(1).max()))
    return Species(name, cube, mask, radius * voxel_size_angstrom, mass_kda, symmetry)


def check_name(name: str) -> None:
    """Raise a ValueError if a class name is empty or has an underscore."""
    if "_" in name or not name:
        raise ValueError(f"species name {name!r} is empty or has an underscore, which copick does not allow")


def particle_mask(density: NDArray[np.floating], voxel_size_angstrom: float) -> NDArray[np.bool_]:
    """Return the largest connected body above :data:`MASK_THRESHOLD`, its cavities filled.

    A capsid's pores (up to 40 Å wide) do not make its inside part of the solvent: they are closed before filling.
    At voxels so fine that atoms show, the density is smoothed first, so that the body does not fall apart.
    """
    smoothed: NDArray[np.floating] = density
    if voxel_size_angstrom < _MASK_SMOOTHING_FROM_ANGSTROM:
        sigma = np.sqrt(_MASK_SMOOTHING_ANGSTROM**2 - (SMOOTHING_VOXELS * voxel_size_angstrom) ** 2)
        smoothed = ndimage.gaussian_filter(density.astype(np.float32), sigma / voxel_size_angstrom)
    labels, count = ndimage.label(smoothed > MASK_THRESHOLD, np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(density.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body: NDArray[np.bool_] = labels == sizes.argmax()
    box = ndimage.find_objects(body.astype(np.uint8))[0]
    reach = _PORE_ANGSTROM / voxel_size_angstrom
    filled, cavity = _filled(body[box], reach)
    if not cavity:
        # On a coarse grid a pore may come out wider than it is. A cavity larger than its walls still tells a shell.
        filled, cavity = _filled(body[box], reach + 0.5)
        if cavity < np.count_nonzero(body):
            return body
    body[box] = filled
    return body


def _filled(body: NDArray[np.bool_], reach: float) -> tuple[NDArray[np.bool_], int]:
    """Close pores of a body, up to twice ``reach`` voxels wide, and fill it; return the size of its cavities too."""
    margin = int(np.ceil(reach)) + 2
    roomy = np.pad(body, margin)
    grown = ndimage.distance_transform_edt(~roomy) <= reach
    closed = (ndimage.distance_transform_edt(grown) > reach) | roomy
    filled = ndimage.binary_fill_holes(closed)
    inner = slice(margin, -margin)
    return filled[inner, inner, inner], int(np.count_nonzero(filled & ~closed))
