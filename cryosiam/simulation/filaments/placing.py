"""Put filaments into a specimen: microtubules first, then F-actin, then DNA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from cryosiam.simulation.filaments import actin, dna, microtubule
from cryosiam.simulation.filaments.blobs import draw_bodies
from cryosiam.simulation.filaments.chains import grow_chain
from cryosiam.simulation.filaments.nucleosomes import LEAST_LINKER_ANGSTROM, BeadedChain, grow_beaded
from cryosiam.simulation.filaments.rods import Rod, place_rod, point_in_slab
from cryosiam.simulation.filaments.tubes import FREE, GAP_VOXELS, ball_state, label_tube
from cryosiam.simulation.placement import Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.slab import Slab
    from cryosiam.simulation.spec import FilamentSpec
    from cryosiam.simulation.species import Species

_ACTIN_LENGTH_ANGSTROM: Final = (2_000.0, 12_000.0)
_DNA_TRIES: Final = 12
_FAILURES_IN_A_ROW: Final = 5
"""Filaments of a kind that found no room, after which no more of that kind are tried."""
_FIRST_SHARE: Final = 1.2
_START_TRIES: Final = 100
_FREE_AHEAD_ANGSTROM: Final = 40.0


@dataclass(frozen=True)
class Filament:
    """A filament that was placed.

    Parameters
    ----------
    kind
        ``microtubule``, ``actin`` or ``dna``.
    scaffold_id
        Its id in the canvas' scaffold.
    path
        ``(n, 3)`` points of its axis (x, y, z) in Å, towards the plus or barbed end; they may leave the volume through
        its x and y faces. DNA's runs around its nucleosomes.
    """

    kind: Literal["microtubule", "actin", "dna"]
    scaffold_id: int
    path: NDArray[np.float64]


def add_filaments(
    canvas: Canvas,
    spec: FilamentSpec,
    nucleosome: Species | None,
    slab: Slab,
    first_id: int,
    rng: np.random.Generator,
) -> tuple[list[Filament], Placement]:
    """Draw filaments and nucleosomes into free space inside the slab.

    Parameters
    ----------
    canvas
        Drawn on: density, semantic and scaffold labels, and the nucleosomes' instance ids.
    spec
        How many of each. Those that find no room are left out, or are shorter; where several of a kind in a row find
        none, no more of that kind are tried.
    nucleosome
        The species, a disc of any orientation; needed where nucleosomes are asked for.
    slab
        What the canvas' sample was made of.
    first_id
        Instance id of the first nucleosome.
    rng
        Source of randomness.

    Returns
    -------
    filaments
        Those placed.
    nucleosomes
        In the order of their ids.

    Raises
    ------
    ValueError
        If nucleosomes are asked for and there is no species.
    """
    if spec.nucleosomes and nucleosome is None:
        raise ValueError("nucleosomes were asked for without their species")
    filaments = [
        *_add_microtubules(canvas, spec, slab, rng),
        *_add_actin(canvas, spec, slab, rng),
    ]
    placed = Placement.empty()
    failures = 0
    for done in range(spec.dna):
        if failures == _FAILURES_IN_A_ROW:
            break
        # The first molecules carry more than their share, so that those after them have room for what they could not.
        missing = spec.nucleosomes - len(placed)
        share = min(missing, int(np.ceil(_FIRST_SHARE * missing / (spec.dna - done))))
        length = rng.uniform(*spec.dna_length_nm) * 10
        if share and nucleosome is not None:
            chain = _beaded_chain(canvas, slab, nucleosome, share, length, first_id + len(placed), rng)
        else:
            chain = _bare_chain(canvas, slab, length, rng)
        failures = failures + 1 if chain is None else 0
        if chain is not None:
            placed = Placement.joined([placed, chain.placed])
            filaments.append(_draw_dna(canvas, chain))
    return filaments, placed


def _add_microtubules(canvas: Canvas, spec: FilamentSpec, slab: Slab, rng: np.random.Generator) -> list[Filament]:
    filaments = []
    span = 2.5 * max(slab.shape[1:]) * slab.voxel_size_angstrom
    failures = 0
    for _ in range(spec.microtubules):
        if failures == _FAILURES_IN_A_ROW:
            break
        count = int(rng.integers(spec.protofilaments[0], spec.protofilaments[1] + 1))
        radius = microtubule.tube_radius_angstrom(count)
        rod = Rod(radius, microtubule.PERSISTENCE_ANGSTROM, (span, span), microtubule.LEAST_BEND_RADIUS_ANGSTROM)
        path = place_rod(canvas, slab, rod, rng)
        failures = failures + 1 if path is None else 0
        if path is None:
            continue
        poses = microtubule.microtubule_subunits(path, count)
        draw_bodies(canvas.density, canvas.voxel_size_angstrom, microtubule.MONOMER, *poses)
        scaffold_id = canvas.new_scaffold_id("microtubule")
        label_tube(canvas, path, radius, "microtubule", scaffold_id)
        filaments.append(Filament("microtubule", scaffold_id, path))
    return filaments


def _add_actin(canvas: Canvas, spec: FilamentSpec, slab: Slab, rng: np.random.Generator) -> list[Filament]:
    filaments = []
    rod = Rod(actin.TUBE_RADIUS_ANGSTROM, actin.PERSISTENCE_ANGSTROM, _ACTIN_LENGTH_ANGSTROM, lean=0.06)
    failures = 0
    for _ in range(spec.actin):
        if failures == _FAILURES_IN_A_ROW:
            break
        path = place_rod(canvas, slab, rod, rng)
        failures = failures + 1 if path is None else 0
        if path is None:
            continue
        draw_bodies(canvas.density, canvas.voxel_size_angstrom, actin.MONOMER, *actin.actin_subunits(path))
        scaffold_id = canvas.new_scaffold_id("actin")
        label_tube(canvas, path, actin.TUBE_RADIUS_ANGSTROM, "actin", scaffold_id)
        filaments.append(Filament("actin", scaffold_id, path))
    return filaments


def _draw_dna(canvas: Canvas, chain: BeadedChain) -> Filament:
    """Draw and label the free DNA of a molecule; nucleosomes hold theirs."""
    scaffold_id = canvas.new_scaffold_id("dna")
    for linker in chain.linkers:
        if len(linker) > 2:
            draw_bodies(canvas.density, canvas.voxel_size_angstrom, dna.BASE_PAIR, *dna.dna_subunits(linker))
            label_tube(canvas, linker, dna.TUBE_RADIUS_ANGSTROM, "filament", scaffold_id)
    return Filament("dna", scaffold_id, chain.path())


def _bare_chain(canvas: Canvas, slab: Slab, length: float, rng: np.random.Generator) -> BeadedChain | None:
    """Return the longest of a few chains, the first that gets its length or leaves the volume."""
    longest = np.zeros((0, 3))
    edges = np.array(slab.shape[:0:-1]) * slab.voxel_size_angstrom
    for _ in range(_DNA_TRIES):
        begin = _free_start(canvas, slab, rng)
        if begin is None:
            break
        path = grow_chain(canvas, *begin, length, rng)
        if len(path) > len(longest):
            longest = path
        left = bool((path[-1, :2] < 0).any() or (path[-1, :2] > edges).any())
        if left or (len(path) - 1) * dna.RISE_ANGSTROM > 0.99 * length:
            longest = path
            break
    return BeadedChain([longest]) if len(longest) > 2 else None


def _beaded_chain(
    canvas: Canvas,
    slab: Slab,
    nucleosome: Species,
    count: int,
    free_length: float,
    first_id: int,
    rng: np.random.Generator,
) -> BeadedChain | None:
    """Return a chain with up to ``count`` nucleosomes, ``free_length`` of it between them, or as much as they need."""
    spare = max(0.0, free_length - LEAST_LINKER_ANGSTROM * (count + 1))
    linkers = LEAST_LINKER_ANGSTROM + spare * rng.dirichlet(np.ones(count + 1))
    for _ in range(_DNA_TRIES):
        begin = _free_start(canvas, slab, rng)
        if begin is None:
            return None
        start, direction = begin
        chain = grow_beaded(canvas, nucleosome, start, direction, linkers, first_id, rng)
        missing = count - len(chain.placed)
        if missing and len(chain.placed):
            rest, next_id, path = linkers[: missing + 1], first_id + len(chain.placed), chain.path()
            other = grow_beaded(canvas, nucleosome, start, path[0] - path[1], rest, next_id, rng, earlier=path)
            chain = chain.grown_backwards(other)
        if len(chain.placed):
            return chain
    return None


def _free_start(
    canvas: Canvas, slab: Slab, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return a point (x, y, z in Å) and a direction with free space for DNA, or None if none is found."""
    voxel = canvas.voxel_size_angstrom
    radius = dna.TUBE_RADIUS_ANGSTROM / voxel + GAP_VOXELS
    for _ in range(_START_TRIES):
        point = point_in_slab(slab, dna.TUBE_RADIUS_ANGSTROM + 2 * voxel, rng)
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        if all(
            ball_state(
                canvas.semantic,
                canvas.sample,
                canvas.instances,
                (point + distance * direction)[::-1] / voxel,
                radius,
                0,
            )
            == FREE
            for distance in (0.0, _FREE_AHEAD_ANGSTROM)
        ):
            return point, direction
    return None
