"""Nucleosomes on DNA: the chain enters near the rim, winds about the core and leaves near the rim."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.geometry import indices_from_positions, volume_centre_index
from cryosiam.simulation.filaments.chains import grow_chain
from cryosiam.simulation.filaments.dna import RISE_ANGSTROM, TUBE_RADIUS_ANGSTROM
from cryosiam.simulation.filaments.tubes import FREE, GAP_VOXELS, ball_state
from cryosiam.simulation.placement import Placement
from cryosiam.simulation.stamping import fits, posed, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.species import Species
    from cryosiam.simulation.stamping import Cubes

SUPERHELIX_RADIUS_ANGSTROM: Final = 41.9
SUPERHELIX_PITCH_ANGSTROM: Final = 25.9
SUPERHELIX_TURNS: Final = 1.65
"""Left-handed (Richmond and Davey 2003)."""

LEAST_LINKER_ANGSTROM: Final = 70.0

_RIM_ANGSTROM: Final = 55.0
_APPROACH_ANGSTROM: Final = 60.0
_AHEAD_ANGSTROM: Final = (150.0, 40.0)
_HALF_HEIGHT_ANGSTROM: Final = 27.0
_LINKER_TRIES: Final = 6
_LEAST_POINTS: Final = 3
_SPINS: Final = 12
_EXTENSIONS: Final = 12
_EXTENSION_ANGSTROM: Final = 13.0


@dataclass
class BeadedChain:
    """One DNA molecule with nucleosomes: stretches of free DNA between them.

    Parameters
    ----------
    linkers
        ``(n, 3)`` points (x, y, z) in Å of each stretch of free DNA.
    wrapped
        The same of each stretch on a nucleosome; it follows the linker of the same number.
    placed
        The nucleosomes, in the order of their ids.
    earlier
        Points of the same molecule before its first linker, while it is grown.
    """

    linkers: list[NDArray[np.float64]] = field(default_factory=list)
    wrapped: list[NDArray[np.float64]] = field(default_factory=list)
    placed: Placement = field(default_factory=Placement.empty)
    earlier: NDArray[np.float64] | None = None

    def grown_backwards(self, other: BeadedChain) -> BeadedChain:
        """Return the molecule that this one and one grown from its first point the other way make."""
        middle = np.concatenate([other.linkers[0][::-1], self.linkers[0][1:]])
        return BeadedChain(
            [*[part[::-1] for part in other.linkers[:0:-1]], middle, *self.linkers[1:]],
            [*[part[::-1] for part in other.wrapped[::-1]], *self.wrapped],
            Placement.joined([self.placed, other.placed]),
        )

    def path(self) -> NDArray[np.float64]:
        """Return the whole molecule's axis, ``(n, 3)``."""
        parts = [part for pair in zip(self.linkers, self.wrapped, strict=False) for part in pair]
        parts += self.linkers[len(self.wrapped) :]
        return np.concatenate([parts[0], *[part[1:] for part in parts[1:]]])


def superhelix() -> NDArray[np.float64]:
    """Return the axis of nucleosomal DNA, ``(n, 3)`` in Å: about z, its middle on the dyad (x)."""
    angle = np.linspace(-1, 1, 140) * np.pi * SUPERHELIX_TURNS
    return np.stack(
        [
            SUPERHELIX_RADIUS_ANGSTROM * np.cos(angle),
            SUPERHELIX_RADIUS_ANGSTROM * np.sin(angle),
            -SUPERHELIX_PITCH_ANGSTROM * angle / (2 * np.pi),
        ],
        axis=1,
    )


def disc_rotation(species: Species) -> NDArray[np.float64]:
    """Return the ``(3, 3)`` rotation that turns a disc-like particle's short axis to z."""
    offsets = np.argwhere(species.mask)[:, ::-1] - float(volume_centre_index(species.mask.shape[0]))
    _, axes = np.linalg.eigh(np.cov(offsets.T))
    short, long = axes[:, 0], axes[:, 2]
    return np.stack([long, np.cross(short, long), short])


def grow_beaded(
    canvas: Canvas,
    species: Species,
    start: NDArray[np.float64],
    tangent: NDArray[np.float64],
    linker_lengths_angstrom: NDArray[np.float64],
    first_id: int,
    rng: np.random.Generator,
    *,
    earlier: NDArray[np.float64] | None = None,
) -> BeadedChain:
    """Grow DNA with a nucleosome after each linker but the last; the nucleosomes are drawn, the DNA is not.

    Parameters
    ----------
    canvas
        Drawn on.
    species
        The nucleosome, a disc.
    start, tangent
        ``(3,)`` first point (x, y, z) in Å, and direction.
    linker_lengths_angstrom
        ``(n + 1,)`` for n nucleosomes; a linker grows longer where a nucleosome finds no room.
    first_id
        Instance id of the first nucleosome.
    rng
        Source of randomness.
    earlier
        ``(m, 3)`` points of the same molecule, from ``start`` on the other way.

    Returns
    -------
    BeadedChain
        With fewer nucleosomes where the chain gets stuck.
    """
    chain = BeadedChain(earlier=earlier)
    upright = disc_rotation(species)
    own_id = 0
    for length in linker_lengths_angstrom[:-1]:
        for _ in range(_LINKER_TRIES):
            linker = _linker(canvas, chain, start, tangent, float(length), own_id, rng)
            found = _seat(canvas, species, upright, chain, linker, rng)
            if found is not None:
                break
        else:
            chain.linkers.append(linker)
            return chain
        cubes, index, rotation, linker, wrapped = found
        own_id = first_id + len(chain.placed)
        visible = stamp(canvas, cubes, own_id)
        one = Placement(index[None], rotation[None], (species.name,), np.array([visible]))
        chain.placed = Placement.joined([chain.placed, one])
        chain.linkers.append(linker)
        chain.wrapped.append(wrapped)
        start, tangent = wrapped[-1], _direction(wrapped[-2], wrapped[-1])
    chain.linkers.append(_linker(canvas, chain, start, tangent, float(linker_lengths_angstrom[-1]), own_id, rng))
    return chain


def _linker(
    canvas: Canvas,
    chain: BeadedChain,
    start: NDArray[np.float64],
    tangent: NDArray[np.float64],
    length_angstrom: float,
    own_id: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Grow free DNA from the end of a chain, out of its last nucleosome ``own_id`` (0: none)."""
    known = [part for part in (chain.earlier, chain.path() if chain.linkers else None) if part is not None]
    return grow_chain(
        canvas,
        start,
        tangent,
        length_angstrom,
        rng,
        earlier=np.concatenate(known) if known else None,
        own_id=own_id,
        exempt_angstrom=_way_through_angstrom(canvas),
        confined=True,
    )


def _seat(
    canvas: Canvas,
    species: Species,
    upright: NDArray[np.float64],
    chain: BeadedChain,
    linker: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Cubes, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Find room for a nucleosome at the end of a linker, or a little further on.

    Returns the particle's cubes, centre (fractional indices), rotation, the linker, and the DNA about it.
    """
    voxel = canvas.voxel_size_angstrom
    own_path = superhelix()
    known = [] if chain.earlier is None else [chain.earlier]
    for number in range(_EXTENSIONS):
        # Insist on a wide way out at first, so that chains do not run into dead ends.
        ahead = _AHEAD_ANGSTROM[2 * number // _EXTENSIONS]
        if len(linker) < _LEAST_POINTS:
            return None
        heading = _direction(linker[-2], linker[-1])
        for spin in rng.uniform(0, 2 * np.pi, _SPINS):
            turn = _onto(own_path, heading, spin)
            wrapped = (own_path - own_path[0]) @ turn.T + linker[-1]
            index = indices_from_positions(wrapped[0] - turn @ own_path[0], voxel)[0]
            if not (_is_free(canvas, index, _HALF_HEIGHT_ANGSTROM) and _way_out(canvas, wrapped, ahead)):
                continue
            rotation = turn @ upright
            cubes = posed(species, index, rotation)
            if _room(canvas, cubes, [*known, *chain.linkers, linker]):
                return cubes, index, rotation, linker, wrapped
        longer = grow_chain(canvas, linker[-1], heading, _EXTENSION_ANGSTROM, rng, confined=True)
        if len(longer) < _LEAST_POINTS:
            return None
        linker = np.concatenate([linker, longer[1:]])
    return None


def _way_through_angstrom(canvas: Canvas) -> float:
    """Return how far straight DNA runs from its last contact until it is clear of the nucleosome."""
    clear = _RIM_ANGSTROM + TUBE_RADIUS_ANGSTROM + (GAP_VOXELS + 1) * canvas.voxel_size_angstrom
    return float(np.sqrt(clear**2 - SUPERHELIX_RADIUS_ANGSTROM**2))


def _direction(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    return (end - start) / np.linalg.norm(end - start)


def _onto(path: NDArray[np.float64], heading: NDArray[np.float64], spin: float) -> NDArray[np.float64]:
    """Return the rotation that turns the beginning of a path into a direction, with a turn about that left free."""
    bases = []
    for direction, angle in ((_direction(path[0], path[1]), 0.0), (heading, spin)):
        across = np.eye(3)[np.argmin(np.abs(direction))]
        across = _direction(direction * (across @ direction), across)
        aside = np.cross(direction, across)
        normal = np.cos(angle) * across + np.sin(angle) * aside
        bases.append(np.stack([direction, normal, np.cross(direction, normal)], axis=1))
    rotation: NDArray[np.float64] = bases[1] @ bases[0].T
    return rotation


def _room(canvas: Canvas, cubes: Cubes, linkers: list[NDArray[np.float64]]) -> bool:
    """Tell whether a nucleosome lies in free space, whole, and clear of the DNA that leads to it."""
    _, mask, corner = cubes
    own = np.argwhere(mask)
    low, high = corner + own.min(0), corner + own.max(0)
    if (low < 0).any() or (high >= canvas.shape).any() or not fits(canvas, cubes):
        return False
    approach = int(_APPROACH_ANGSTROM / RISE_ANGSTROM)
    before = np.concatenate([*linkers[:-1], linkers[-1][:-approach]])
    voxels = np.rint(indices_from_positions(before, canvas.voxel_size_angstrom)).astype(np.int64) - corner
    near = voxels[((voxels >= 0) & (voxels < mask.shape)).all(1)]
    return not bool(mask[near[:, 0], near[:, 1], near[:, 2]].any())


def _way_out(canvas: Canvas, wrapped: NDArray[np.float64], ahead_angstrom: float) -> bool:
    """Tell whether DNA can go straight on from the end of a nucleosome, clear of it and so far ahead."""
    heading = _direction(wrapped[-2], wrapped[-1])
    distances = np.linspace(0.0, _way_through_angstrom(canvas) + ahead_angstrom, 8)
    indices = indices_from_positions(wrapped[-1] + distances[:, None] * heading, canvas.voxel_size_angstrom)
    return all(_is_free(canvas, index, TUBE_RADIUS_ANGSTROM) for index in indices)


def _is_free(canvas: Canvas, index_zyx: NDArray[np.float64], radius_angstrom: float) -> bool:
    radius = radius_angstrom / canvas.voxel_size_angstrom + GAP_VOXELS
    return bool(ball_state(canvas.semantic, canvas.sample, canvas.instances, index_zyx, radius, 0) == FREE)
