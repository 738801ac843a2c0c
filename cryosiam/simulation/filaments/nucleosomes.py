"""Nucleosomes on DNA: the chain enters near the rim, winds about the core and leaves near the rim."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.geometry import indices_from_positions, volume_centre_index
from cryosiam.simulation.filaments.chains import grow_chain
from cryosiam.simulation.filaments.dna import RISE_ANGSTROM, TUBE_RADIUS_ANGSTROM
from cryosiam.simulation.filaments.tubes import BLOCKED, GAP_VOXELS, ball_state
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
_AHEAD_ANGSTROM: Final = 40.0
_SPINS: Final = 10
_EXTENSIONS: Final = 12


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
        The nucleosomes.
    """

    linkers: list[NDArray[np.float64]] = field(default_factory=list)
    wrapped: list[NDArray[np.float64]] = field(default_factory=list)
    placed: Placement = field(default_factory=Placement.empty)

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
) -> BeadedChain:
    """Grow DNA with a nucleosome after each linker but the last; the nucleosomes are drawn, the DNA is not.

    Parameters
    ----------
    canvas
        Drawn on.
    species
        The nucleosome, a disc.
    start, tangent
        ``(3,)`` first point (x, y, z) in Å, and unit direction.
    linker_lengths_angstrom
        ``(n + 1,)`` for n nucleosomes; a linker grows longer where a nucleosome finds no room.
    first_id
        Instance id of the first nucleosome.
    rng
        Source of randomness.

    Returns
    -------
    BeadedChain
        With fewer nucleosomes where the chain gets stuck.
    """
    chain = BeadedChain()
    upright = disc_rotation(species)
    own_id = 0
    for number, length in enumerate(linker_lengths_angstrom):
        earlier = chain.path() if chain.linkers else None
        linker = grow_chain(
            canvas,
            start,
            tangent,
            float(length),
            rng,
            earlier=earlier,
            own_id=own_id,
            exempt_angstrom=_way_through_angstrom(canvas) if own_id else 0.0,
            confined=True,
        )
        chain.linkers.append(linker)
        if number == len(linker_lengths_angstrom) - 1 or len(linker) < 3:
            break
        found = _seat(canvas, species, upright, chain, rng)
        if found is None:
            break
        cubes, index, rotation, wrapped = found
        own_id = first_id + len(chain.placed)
        visible = stamp(canvas, cubes, own_id)
        one = Placement(index[None], rotation[None], (species.name,), np.array([visible]))
        chain.placed = Placement.joined([chain.placed, one])
        chain.wrapped.append(wrapped)
        start, tangent = wrapped[-1], _direction(wrapped[-2], wrapped[-1])
    return chain


def _seat(
    canvas: Canvas, species: Species, upright: NDArray[np.float64], chain: BeadedChain, rng: np.random.Generator
) -> tuple[Cubes, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Find room for a nucleosome at the end of the last linker, or a little further on; lengthens that linker."""
    voxel = canvas.voxel_size_angstrom
    own_path = superhelix()
    for _ in range(_EXTENSIONS):
        linker = chain.linkers[-1]
        heading = _direction(linker[-2], linker[-1])
        for spin in rng.uniform(0, 2 * np.pi, _SPINS):
            turn = _onto(own_path, heading, spin)
            wrapped = (own_path - own_path[0]) @ turn.T + linker[-1]
            index = indices_from_positions(wrapped[0] - turn @ own_path[0], voxel)[0]
            rotation = turn @ upright
            cubes = posed(species, index, rotation)
            if _room(canvas, cubes, chain) and _way_out(canvas, wrapped):
                return cubes, index, rotation, wrapped
        longer = grow_chain(canvas, linker[-1], heading, 4 * RISE_ANGSTROM, rng, confined=True)
        if len(longer) < 2:
            return None
        chain.linkers[-1] = np.concatenate([linker, longer[1:]])
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
    return bases[1] @ bases[0].T


def _room(canvas: Canvas, cubes: Cubes, chain: BeadedChain) -> bool:
    """Tell whether a nucleosome lies in free space, whole, and clear of the DNA that leads to it."""
    _, mask, corner = cubes
    own = np.argwhere(mask)
    low, high = corner + own.min(0), corner + own.max(0)
    if (low < 0).any() or (high >= canvas.shape).any() or not fits(canvas, cubes):
        return False
    exempt = int(_APPROACH_ANGSTROM / RISE_ANGSTROM)
    before = np.concatenate([*chain.linkers[:-1], chain.linkers[-1][:-exempt]])
    voxels = np.rint(indices_from_positions(before, canvas.voxel_size_angstrom)).astype(np.int64) - corner
    near = voxels[((voxels >= 0) & (voxels < mask.shape)).all(1)]
    return not bool(mask[near[:, 0], near[:, 1], near[:, 2]].any())


def _way_out(canvas: Canvas, wrapped: NDArray[np.float64]) -> bool:
    """Tell whether DNA can go straight on from the end of a nucleosome."""
    voxel = canvas.voxel_size_angstrom
    heading = _direction(wrapped[-2], wrapped[-1])
    radius = TUBE_RADIUS_ANGSTROM / voxel + GAP_VOXELS
    for distance in np.linspace(0.0, _way_through_angstrom(canvas) + _AHEAD_ANGSTROM, 6):
        centre = indices_from_positions(wrapped[-1] + distance * heading, voxel)[0]
        if ball_state(canvas.semantic, canvas.sample, canvas.instances, centre, radius, 0) == BLOCKED:
            return False
    return True
