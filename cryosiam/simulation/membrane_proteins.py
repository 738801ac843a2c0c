"""Place proteins in membranes, upright along the membrane's normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.geometry import indices_from_positions, nearest_voxels, positions_from_indices, volume_centre_index
from cryosiam.simulation import stamping
from cryosiam.simulation.canvas import CLASS_INDEX
from cryosiam.simulation.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.membranes import Membrane
    from cryosiam.simulation.spec import SpeciesSpec
    from cryosiam.simulation.species import Species

_MISSES_IN_A_ROW: Final = 200
_SITES_AT_ONCE: Final = 1024
_EMPTY_BATCHES: Final = 10
_PROBES: Final = 100


@dataclass(frozen=True)
class _Site:
    """A point on a membrane's middle and the normal there (x, y, z)."""

    scaffold_id: int
    position_angstrom: NDArray[np.float64]
    normal: NDArray[np.float64]


@dataclass(frozen=True)
class _Anchored:
    """A species with what its placement in membranes needs."""

    recipe: SpeciesSpec
    species: Species
    footprint_angstrom2: float
    probes_angstrom: NDArray[np.float64]


def add_membrane_proteins(
    canvas: Canvas,
    membranes: Sequence[Membrane],
    species: Sequence[tuple[SpeciesSpec, Species]],
    share: float,
    first_id: int,
    rng: np.random.Generator,
) -> Placement:
    """Put proteins into membranes: points uniform over their area, z axis along the normal, any turn about it.

    Lipids give way inside a protein's mask. A mask meets no other particle, filament or membrane, lies inside the
    slab, and may leave the volume through its x and y faces only; its centre lies inside. Species with a count come
    first; the others fill what is left of ``share`` with equal areas; among each, the largest footprints come first.

    Parameters
    ----------
    canvas
        Drawn on.
    membranes
        From :func:`cryosiam.simulation.membranes.add_membranes`.
    species
        Recipe and density of each; :attr:`SpeciesSpec.membrane_centre_angstrom` is the height of the bilayer's
        middle above the density's centre voxel.
    share
        Of the membranes' area inside the slab, to be covered by the masks' projections within the bilayer.
    first_id
        Instance id of the first.
    rng
        Source of randomness.

    Returns
    -------
    Placement
        In the order of their ids; fewer than asked for where they do not fit.

    Raises
    ------
    InputError
        If a species has no density where its recipe puts the bilayer.
    """
    area = sum(_area_angstrom2(canvas, one) for one in membranes)
    if not species or not area:
        return Placement.empty()
    thickness = max(one.bilayer.thickness_angstrom for one in membranes)
    anchored = [_anchored(recipe, one, thickness, canvas.voxel_size_angstrom) for recipe, one in species]
    anchored.sort(key=lambda one: -one.footprint_angstrom2)
    shared = [one for one in anchored if one.recipe.count is None]
    sites = _sites(canvas, membranes, rng)
    parts: list[Placement] = []
    covered = 0.0
    for one in [*(one for one in anchored if one.recipe.count is not None), *shared]:
        wanted = one.recipe.count
        if wanted is None:
            budget = (share * area - covered) / (len(shared) - shared.index(one))
            wanted = max(0, round(budget / one.footprint_angstrom2))
        parts.append(_place(canvas, one, wanted, sites, first_id + sum(map(len, parts)), rng))
        covered += one.footprint_angstrom2 * float(parts[-1].visible.sum())
    return Placement.joined(parts)


def _area_angstrom2(canvas: Canvas, membrane: Membrane) -> float:
    """Return the area of a membrane's middle inside the slab."""
    voxels = np.count_nonzero(canvas.scaffold[membrane.box] == membrane.scaffold_id)
    return voxels * canvas.voxel_size_angstrom**3 / (2 * membrane.bilayer.half_width_angstrom)


def _anchored(
    recipe: SpeciesSpec, species: Species, thickness_angstrom: float, voxel_size_angstrom: float
) -> _Anchored:
    """Measure a species' footprint, and pick places inside its mask that tell early whether a pose is free."""
    half = volume_centre_index(species.mask.shape[0])
    heights = (np.arange(len(species.mask)) - half) * voxel_size_angstrom - recipe.membrane_centre_angstrom
    within = species.mask[np.abs(heights) <= max(thickness_angstrom / 2, voxel_size_angstrom / 2)]
    footprint = np.count_nonzero(within.any(0)) * voxel_size_angstrom**2
    if not footprint:
        raise InputError(
            f"species {recipe.name} has no density at the height of its membrane; correct its "
            f"membrane_centre_angstrom, now {recipe.membrane_centre_angstrom:g}"
        )
    core = ndimage.binary_erosion(species.mask)
    places = np.argwhere(core if core.any() else species.mask)
    chosen = places[np.linspace(0, len(places) - 1, min(_PROBES, len(places))).astype(int)] - half
    return _Anchored(recipe, species, footprint, positions_from_indices(chosen, voxel_size_angstrom))


def _sites(canvas: Canvas, membranes: Sequence[Membrane], rng: np.random.Generator) -> Iterator[_Site]:
    """Yield places uniform over the area that membranes have inside the slab.

    Points uniform in a thin layer about the middle are moved onto it: as many fall on each piece of its area.
    """
    voxels = [np.argwhere(canvas.scaffold[one.box] == one.scaffold_id) + one.corner_zyx for one in membranes]
    owner = np.repeat(np.arange(len(membranes)), [len(one) for one in voxels])
    labelled = np.concatenate(voxels)
    size = canvas.voxel_size_angstrom
    empty = 0
    while empty < _EMPTY_BATCHES:
        chosen = rng.integers(0, len(labelled), _SITES_AT_ONCE)
        points = positions_from_indices(labelled[chosen] + rng.uniform(-0.5, 0.5, (_SITES_AT_ONCE, 3)), size)
        found, normals = np.empty_like(points), np.empty_like(points)
        distances = np.empty(len(points))
        for k, membrane in enumerate(membranes):
            mine = owner[chosen] == k
            distances[mine], found[mine], normals[mine] = membrane.surface.nearest(points[mine])
        near = np.flatnonzero(np.abs(distances) < size / 2)
        index = nearest_voxels(found[near], size)
        inside = ((index >= 0) & (index < canvas.shape)).all(1)
        seen = near[inside][canvas.sample[tuple(index[inside].T)]]
        empty = 0 if len(seen) else empty + 1
        for i in seen:
            yield _Site(membranes[owner[chosen[i]]].scaffold_id, found[i], normals[i])


def _place(
    canvas: Canvas, one: _Anchored, wanted: int, sites: Iterator[_Site], first_id: int, rng: np.random.Generator
) -> Placement:
    """Place one species until there are enough of it, or too many sites in a row do not fit."""
    centres: list[NDArray[np.float64]] = []
    rotations: list[NDArray[np.float64]] = []
    visible: list[float] = []
    misses = 0
    while len(centres) < wanted and misses < _MISSES_IN_A_ROW:
        site = next(sites, None)
        if site is None:
            break
        rotation = _upright(site.normal, rng.uniform(0, 2 * np.pi))
        centre = site.position_angstrom - one.recipe.membrane_centre_angstrom * site.normal
        misses += 1
        if not _probes_are_free(canvas, one.probes_angstrom @ rotation.T + centre, site.scaffold_id):
            continue
        index = indices_from_positions(centre, canvas.voxel_size_angstrom)[0]
        cubes = stamping.posed(one.species, index, rotation)
        if not stamping.fits(canvas, cubes, CLASS_INDEX["membrane"]) or not _own_membrane(canvas, cubes, site):
            continue
        visible.append(stamping.stamp(canvas, cubes, first_id + len(centres), replace=True))
        centres.append(index)
        rotations.append(rotation)
        misses = 0
    if not centres:
        return Placement.empty()
    names = (one.species.name,) * len(centres)
    return Placement(np.array(centres), np.array(rotations), names, np.array(visible))


def _upright(normal: NDArray[np.float64], spin_rad: float) -> NDArray[np.float64]:
    """Return the rotation that takes z to a unit normal, after a turn about z."""
    aside = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    aside /= np.linalg.norm(aside)
    other = np.cross(normal, aside)
    along = np.cos(spin_rad) * aside + np.sin(spin_rad) * other
    return np.stack([along, np.cross(normal, along), normal], axis=1)


def _probes_are_free(canvas: Canvas, points_angstrom: NDArray[np.float64], scaffold_id: int) -> bool:
    index = nearest_voxels(points_angstrom, canvas.voxel_size_angstrom)
    inside = tuple(index[((index >= 0) & (index < canvas.shape)).all(1)].T)
    semantic, scaffold = canvas.semantic[inside], canvas.scaffold[inside]
    own = (semantic == CLASS_INDEX["membrane"]) & (scaffold == scaffold_id)
    return bool((canvas.sample[inside] & ((semantic == 0) | own)).all())


def _own_membrane(canvas: Canvas, cubes: stamping.Cubes, site: _Site) -> bool:
    """Tell whether a posed mask meets no membrane but the one it sits in."""
    _, mask, corner = cubes
    index = np.argwhere(mask) + corner
    inside = tuple(index[((index >= 0) & (index < canvas.shape)).all(1)].T)
    return bool(np.isin(canvas.scaffold[inside], (0, site.scaffold_id)).all())
