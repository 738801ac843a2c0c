"""Lipid bilayers: vesicles, closed irregular bodies and sheets, drawn into a specimen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from cryosiam.errors import InputError
from cryosiam.geometry import nearest_voxels, positions_from_indices
from cryosiam.simulation import membrane_shapes
from cryosiam.simulation.bilayer import Bilayer, draw_bilayer
from cryosiam.simulation.spec import fixed
from cryosiam.simulation.species import SMOOTHING_VOXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.spec import MembraneSpec
    from cryosiam.simulation.surfaces import Surface

MembraneKind = Literal["vesicle", "irregular", "sheet"]

_GAP_ANGSTROM: Final = 45.0
_TRIES: Final = 60
_FAILURES_IN_A_ROW: Final = 8
"""Membranes of a kind that found no place, after which no more of that kind are tried."""
_PLACE_TRIES: Final = 1000
_FIRST_POINTS: Final = 400
_LEAST_SEEN: Final = 0.25
"""Least area seen, in units of its whole area or of a plane's across the slab, whichever is less."""
_LEAST_DIAMETER_WIDTHS: Final = 4.0


@dataclass(frozen=True)
class Membrane:
    """One membrane in a specimen.

    Parameters
    ----------
    kind
        ``vesicle``, ``irregular`` or ``sheet``.
    scaffold_id
        Its id in :attr:`Canvas.scaffold`.
    surface
        Middle of the bilayer, with exact distances and normals at any place (:meth:`Surface.nearest`).
    bilayer
        Its thickness and density.
    corner_zyx, shape_zyx
        Box of the canvas, in voxels, that holds it.
    """

    kind: MembraneKind
    scaffold_id: int
    surface: Surface
    bilayer: Bilayer
    corner_zyx: tuple[int, int, int]
    shape_zyx: tuple[int, int, int]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Its box as slices of the canvas' arrays."""
        z, y, x = (slice(c, c + n) for c, n in zip(self.corner_zyx, self.shape_zyx, strict=True))
        return z, y, x


def add_membranes(canvas: Canvas, spec: MembraneSpec, rng: np.random.Generator) -> list[Membrane]:
    """Draw membranes into a canvas, the largest first: sheets, irregular bodies, vesicles.

    None meets another, nor anything drawn before. The faces of the slab and of the volume cut them, as a lamella
    cuts a cell, but a fair part of each can be seen.

    Parameters
    ----------
    canvas
        Drawn on, within its sample only.
    spec
        How many of which size. Diameters are those of the bilayer's middle, in a sphere of equal volume.
    rng
        Source of randomness.

    Returns
    -------
    list[Membrane]
        Those that found a place; fewer than asked for where the slab is crowded or small.

    Raises
    ------
    InputError
        If a closed membrane may be too narrow for its own bilayer.
    """
    blur = SMOOTHING_VOXELS * canvas.voxel_size_angstrom
    bilayer = Bilayer(fixed(spec.thickness_angstrom), spec.leaflet_width_angstrom, blur)
    placed: list[Membrane] = []
    failures: Counter[MembraneKind] = Counter()
    for kind, diameter in _wanted(spec, bilayer, rng):
        if failures[kind] == _FAILURES_IN_A_ROW:
            continue
        for _ in range(_TRIES):
            membrane = _placed(canvas, kind, diameter, bilayer, rng)
            if membrane is not None:
                placed.append(membrane)
                failures[kind] = 0
                break
        else:
            failures[kind] += 1
    return placed


def _wanted(spec: MembraneSpec, bilayer: Bilayer, rng: np.random.Generator) -> list[tuple[MembraneKind, float]]:
    """Return kinds and diameters (Å) in the order of placement."""
    wanted: list[tuple[MembraneKind, float]] = [("sheet", np.inf)] * spec.sheets
    closed: tuple[tuple[MembraneKind, int, tuple[float, float]], ...] = (
        ("irregular", spec.irregular, spec.irregular_diameter_nm),
        ("vesicle", spec.vesicles, spec.vesicle_diameter_nm),
    )
    least_nm = _LEAST_DIAMETER_WIDTHS * bilayer.half_width_angstrom / 10
    for kind, count, range_nm in closed:
        if count and range_nm[0] < least_nm:
            raise InputError(
                f"membranes.{kind}: a diameter of {range_nm[0]:g} nm is too narrow for a bilayer of "
                f"{bilayer.thickness_angstrom:g} Å; ask for {np.ceil(least_nm):.0f} nm or more"
            )
        diameters = np.sort(10 * rng.uniform(*range_nm, count))[::-1]
        wanted += [(kind, float(one)) for one in diameters]
    return wanted


def _placed(
    canvas: Canvas, kind: MembraneKind, diameter: float, bilayer: Bilayer, rng: np.random.Generator
) -> Membrane | None:
    """Try one random place and shape; draw it if it is free and can be seen."""
    voxel = canvas.voxel_size_angstrom
    surface = _random_surface(canvas, kind, diameter, rng)
    if surface is None or _meets_something(canvas, surface, rng):
        return None
    low, high = surface.bounds(bilayer.half_width_angstrom + _GAP_ANGSTROM)
    corner = np.clip(np.floor(low[::-1] / voxel), 0, canvas.shape).astype(np.int64)
    shape = np.clip(np.ceil(high[::-1] / voxel) + 1, corner, canvas.shape).astype(np.int64) - corner
    nodes, step = surface.distances_on_nodes(corner, shape, voxel, bilayer.reach_angstrom)
    if not _is_free_and_seen(canvas, corner, shape, nodes, step, bilayer, diameter):
        return None
    identity = canvas.new_scaffold_id(kind)
    draw_bilayer(canvas, bilayer, corner, shape, nodes, step, identity)
    return Membrane(kind, identity, surface, bilayer, _triple(corner), _triple(shape))


def _random_surface(canvas: Canvas, kind: MembraneKind, diameter: float, rng: np.random.Generator) -> Surface | None:
    """Draw a shape about a random place in the sample; None if there is no sample."""
    place = _place_in_sample(canvas, rng)
    other = _place_in_sample(canvas, rng)
    if place is None or other is None:
        return None
    if kind == "sheet":
        return membrane_shapes.sheet(place, rng)
    if diameter > min(canvas.shape[1:]) * canvas.voxel_size_angstrom:
        # Too wide to be seen from its centre: the place is one on its surface, the centre at another's height.
        radius = diameter / 2
        rise = float(np.clip(other[2] - place[2], -0.9 * radius, 0.9 * radius))
        azimuth = rng.uniform(0, 2 * np.pi)
        level = np.sqrt(radius**2 - rise**2)
        place = place + np.array([level * np.cos(azimuth), level * np.sin(azimuth), rise])
    shape = membrane_shapes.vesicle if kind == "vesicle" else membrane_shapes.irregular
    return shape(place, diameter, rng)


def _place_in_sample(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Return a random position (x, y, z in Å) inside the slab, or None where there is hardly any slab."""
    for _ in range(_PLACE_TRIES):
        index = rng.integers(0, canvas.shape)
        if canvas.sample[tuple(index)]:
            position: NDArray[np.float64] = positions_from_indices(index, canvas.voxel_size_angstrom)[0]
            return position
    return None


def _meets_something(canvas: Canvas, surface: Surface, rng: np.random.Generator) -> bool:
    """Look at some points of a surface; most places that are not free show it there already."""
    near = surface.spread_points(rng, _FIRST_POINTS, np.array(canvas.shape[::-1]) * canvas.voxel_size_angstrom)
    index = nearest_voxels(surface.nearest(near)[1], canvas.voxel_size_angstrom)
    inside = tuple(index[((index >= 0) & (index < canvas.shape)).all(1)].T)
    return bool((canvas.semantic[inside] != 0).any())


def _is_free_and_seen(
    canvas: Canvas,
    corner: NDArray[np.int64],
    shape: NDArray[np.int64],
    nodes: NDArray[np.float32],
    step: int,
    bilayer: Bilayer,
    diameter: float,
) -> bool:
    """Judge a place at the nodes, which are closer to each other than the gap asked for."""
    if shape.min() <= 0:
        return False
    box = tuple(slice(c, c + n, step) for c, n in zip(corner, shape, strict=True))
    counts = [len(range(0, n, step)) for n in shape]
    distance = np.abs(nodes[1 : counts[0] + 1, 1 : counts[1] + 1, 1 : counts[2] + 1])
    taken = canvas.semantic[box] != 0
    if (taken & (distance < bilayer.half_width_angstrom + _GAP_ANGSTROM)).any():
        return False
    spacing = step * canvas.voxel_size_angstrom
    layers = np.count_nonzero(canvas.sample[box] & (distance < bilayer.half_width_angstrom))
    area = layers * spacing**3 / (2 * bilayer.half_width_angstrom)
    depth = np.count_nonzero(canvas.sample[::step, ::step, ::step]) * spacing**3
    across = float(np.sqrt(np.prod(np.array(canvas.shape[1:], float)))) * canvas.voxel_size_angstrom
    return bool(area >= _LEAST_SEEN * min(np.pi * diameter**2, depth / across))


def _triple(values: NDArray[np.int64]) -> tuple[int, int, int]:
    z, y, x = (int(value) for value in values)
    return z, y, x
