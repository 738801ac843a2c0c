"""Fill the free space of a specimen with particles, largest first, without overlap, up to a given occupancy.

Each particle gets a rotation of its own, and a position drawn from *all* those at which its mask fits in a random block
of the volume (:mod:`cryosiam.simulation.free_space`), so placing does not stall where blind retries do, at 35 to 40 %.
Two things make dense specimens possible. Of many such positions the one is taken where the particle touches most, so
that the room left over stays in one piece; and the shares of the volume lean towards the large species, whose gaps the
small ones fill. Both set in gradually above 0.45; thinner specimens are uniformly random.

How far this goes depends on the species. Hard bodies of one size that are put down one after the other jam: medium
species alone (900 to 4400 voxels) at about 0.5 of the free space, as measured; the benchmark's general set, capsids to
25 kDa, at about 0.7. Where the asked occupancy is out of reach, the search ends when nothing fits any more in a
bounded number of trials, and :class:`Filling` says so. Of the *accessible* volume (:func:`accessible_voxels`: what is
filled, and what some particle of the set could still cover) such a specimen is filled to nearly 1.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial.transform import Rotation

from cryosiam.geometry import volume_centre_index
from cryosiam.simulation import free_space
from cryosiam.simulation.placement import Placement
from cryosiam.simulation.rotation import rotate_cube, rotate_mask
from cryosiam.simulation.stamping import stamp
from cryosiam.tomography.back_projection import available_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas
    from cryosiam.simulation.spec import SpeciesSpec
    from cryosiam.simulation.species import Species

_OCCUPANCIES: Final = (0.45, 0.65, 0.8)
_LEANS: Final = (0.0, 0.7, 2.0)
"""At these occupancies a species' share of the volume is weighted by this power of its own volume."""
_LOG2_SAMPLES: Final = (0.0, 8.0, 8.0)
"""And the tightest of 2 to this power positions is taken."""

_SHELL_REACH: Final = 3
_SHELL_VOXELS: Final = 512

_BLOCK_Z: Final = 64
_BLOCK_Y: Final = 32
_BLOCKS_PER_TRIAL: Final = 8
_BATCH: Final = 16
"""Particles sought at the same time: fixed, so that the result does not depend on the number of threads."""
_PATIENCE: Final = 4
"""Rotations of a species for which a block must have no room before it counts as full for that species."""
_LAST_RESORTS: Final = 3
"""How many of the smallest species are tried again for what is left at the end."""
_ORIENTATIONS_OF_OPENING: Final = 6


@dataclass(frozen=True)
class Filling(Placement):
    """Particles put into a specimen, and how far that filled it.

    Parameters
    ----------
    occupancy_asked, occupancy_reached
        Share of the free voxels (in the slab, outside membranes and filaments) that particle masks fill.
    """

    occupancy_asked: float = 0.0
    occupancy_reached: float = 0.0

    def shortfall(self, tolerance: float = 0.01) -> str | None:
        """Return a sentence that says what could not be reached, or None if the occupancy is within ``tolerance``."""
        if self.occupancy_reached >= self.occupancy_asked - tolerance:
            return None
        return (
            f"particles fill {self.occupancy_reached:.2f} of the free space instead of {self.occupancy_asked:.2f}: no "
            "more of these species fit; add smaller species, or ask for less"
        )


def fill(
    canvas: Canvas,
    species: Sequence[tuple[SpeciesSpec, Species]],
    occupancy: float,
    first_id: int,
    rng: np.random.Generator,
    progress: Callable[[str], None] | None = None,
) -> Filling:
    """Put particles into the free voxels of a canvas until their masks fill ``occupancy`` of them.

    Species with a count come first. The others share what is left of the occupancy at random (uniform on the simplex,
    so that small ones are more numerous, thesis section 3.3; above 0.45 larger ones get more) and are placed largest
    first; what one cannot use goes to the next. Particles may be cut by the volume's x and y faces, where their centre
    stays inside, but lie wholly in the slab.

    Parameters
    ----------
    canvas
        Drawn on; free is what lies in the sample and has semantic class 0.
    species
        Recipes and kinds.
    occupancy
        Share of the free voxels to fill, counted particles included.
    first_id
        Id of the first particle.
    rng
        Source of all randomness; the result does not depend on the number of threads.
    progress
        Told of each species.

    Returns
    -------
    Filling
        In order of the ids. ``occupancy_reached`` is less than asked where no more particles fit.
    """
    counted = _largest_first([(one.count, kind) for one, kind in species if one.count is not None])
    shared = [kind for _, kind in _largest_first([(0, kind) for one, kind in species if one.count is None])]
    with ThreadPoolExecutor(available_threads()) as pool:
        packer = _Packer.of_canvas(canvas, [kind for _, kind in species], occupancy, first_id, rng, pool)
        for count, kind in counted:
            packer.place(kind, count, np.inf)
        shares = rng.dirichlet(np.ones(len(shared))) if shared else np.zeros(0)
        lean = float(np.interp(occupancy, _OCCUPANCIES, _LEANS))
        shares *= np.array([kind.volume_voxels for kind in shared], np.float64) ** lean
        for index, kind in enumerate(shared):
            left = occupancy * packer.free_voxels - packer.filled_voxels
            packer.place(kind, None, left * shares[index] / shares[index:].sum())
            if progress is not None:
                progress(f"particles: {kind.name}, {packer.filled_voxels / max(packer.free_voxels, 1):.0%} filled")
        for kind in reversed(shared[-_LAST_RESORTS:]):
            packer.place(kind, None, occupancy * packer.free_voxels - packer.filled_voxels)
    return packer.filling(occupancy)


def accessible_voxels(canvas: Canvas, species: Sequence[Species], rng: np.random.Generator) -> int:
    """Count the voxels that some particle could cover: the opening of the free space by the masks.

    The union over :data:`_ORIENTATIONS_OF_OPENING` random rotations of the smallest species, in every position in which
    it fits. On an empty canvas this is the volume that particles can reach at all; after filling it, together with what
    is filled, the volume that they can reach beside those that are there.
    """
    kind = min(species, key=lambda one: one.volume_voxels)
    pad = _padding([kind])
    levels, centres = _bits(canvas, pad)
    covered = np.zeros(centres.shape, np.uint64)
    rotations = Rotation.random(_ORIENTATIONS_OF_OPENING, rng=rng).as_matrix()
    for rotation, seed in zip(rotations, _seeds(rng, len(rotations)), strict=True):
        mask = rotate_mask(kind.mask, rotation, np.zeros(3))
        free_space.coverable_bits(levels, centres, free_space.probes_of(mask, seed), covered)
    inside = _row_ends(canvas.shape[2], pad, centres.shape[2])
    return int(np.bitwise_count(covered & inside).sum())


@dataclass(frozen=True)
class _Pose:
    """A rotated mask and where it fits."""

    rotation: NDArray[np.float64]
    shift_xyz: NDArray[np.float64]
    mask: NDArray[np.bool_]
    probes: NDArray[np.int64]
    z: int
    y: int
    bit: int
    block: int


@dataclass
class _Packer:
    """The free space as bits, and what was placed in it."""

    canvas: Canvas
    levels: NDArray[np.uint64]
    centres: NDArray[np.uint64]
    blocks: NDArray[np.int64]
    free_voxels: int
    samples: int
    first_id: int
    rng: np.random.Generator
    pool: ThreadPoolExecutor
    filled_voxels: int = 0
    indices_zyx: list[NDArray[np.float64]] = field(default_factory=list)
    rotations: list[NDArray[np.float64]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    full: set[str] = field(default_factory=set)

    @classmethod
    def of_canvas(
        cls,
        canvas: Canvas,
        species: Sequence[Species],
        occupancy: float,
        first_id: int,
        rng: np.random.Generator,
        pool: ThreadPoolExecutor,
    ) -> _Packer:
        pad = _padding(species)
        levels, centres = _bits(canvas, pad)
        samples = round(2 ** float(np.interp(occupancy, _OCCUPANCIES, _LOG2_SAMPLES)))
        free_voxels = int(np.count_nonzero(canvas.sample & (canvas.semantic == 0)))
        return cls(canvas, levels, centres, _blocks(centres.shape, pad), free_voxels, samples, first_id, rng, pool)

    def place(self, kind: Species, most: int | None, most_voxels: float) -> None:
        """Place a species until there are ``most``, or the particles nearest to ``most_voxels``, or none fits."""
        free = np.bitwise_count(self.levels[..., 0] & self.centres)
        weights = np.array([free[z:z1, y:y1, w:w1].sum() for (z, y, w), (z1, y1, w1) in self.blocks], np.float64)
        misses = np.zeros(len(self.blocks), np.int64)
        goal = self.filled_voxels + most_voxels - kind.volume_voxels / 2
        last = np.inf if most is None else len(self.names) + most
        while self.filled_voxels < goal and len(self.names) < last and kind.name not in self.full:
            alive = np.flatnonzero((weights > 0) & (misses < _PATIENCE))
            if len(alive) == 0:
                self.full.add(kind.name)
                return
            wanted = min(last - len(self.names), np.ceil((goal - self.filled_voxels) / kind.volume_voxels))
            size = int(min(_BATCH, wanted, len(alive)))
            chosen = alive[self._weighted_draws(weights[alive], size)]
            poses = []
            for blocks, (pose, has_room) in zip(chosen, self._search(kind, chosen), strict=True):
                misses[blocks[: len(has_room)][~has_room]] += 1
                if pose is not None and free_space.is_free(self.levels, pose.probes, pose.z, pose.y, pose.bit):
                    free_space.take(self.levels, pose.probes, pose.z, pose.y, pose.bit)
                    misses[pose.block] = 0
                    poses.append(pose)
            self._draw(kind, poses)

    def filling(self, occupancy: float) -> Filling:
        """Return what was placed."""
        count = len(self.names)
        return Filling(
            np.array(self.indices_zyx, np.float64).reshape(count, 3),
            np.array(self.rotations, np.float64).reshape(count, 3, 3),
            tuple(self.names),
            np.array(self.visible, np.float64),
            occupancy,
            self.filled_voxels / max(self.free_voxels, 1),
        )

    def _weighted_draws(self, weights: NDArray[np.float64], rows: int) -> NDArray[np.int64]:
        """Return rows of indices, each drawn one after the other by weight without repeats (Gumbel's trick)."""
        keys = np.log(weights) + self.rng.gumbel(size=(rows, len(weights)))
        return np.argsort(-keys, axis=1, kind="stable")[:, :_BLOCKS_PER_TRIAL]

    def _search(self, kind: Species, chosen: NDArray[np.int64]) -> list[tuple[_Pose | None, NDArray[np.bool_]]]:
        """Seek a position in a random rotation for each row of blocks, in parallel."""
        rotations = Rotation.random(len(chosen), rng=self.rng).as_matrix()
        shifts = self.rng.uniform(-0.5, 0.5, (len(chosen), 3))
        seeds = _seeds(self.rng, (len(chosen), 3))

        def seek(trial: int) -> tuple[_Pose | None, NDArray[np.bool_]]:
            mask = rotate_mask(kind.mask, rotations[trial], shifts[trial])
            probes = free_space.probes_of(mask, seeds[trial, 0])
            shell_size = _SHELL_VOXELS if self.samples > 1 else 0
            shell = free_space.shell_of(mask, _SHELL_REACH, shell_size, seeds[trial, 1])
            blocks = self.blocks[chosen[trial]]
            best, has_room = free_space.choose_position(
                self.levels, self.centres, probes, shell, blocks, self.samples, seeds[trial, 2]
            )
            if best[0] < 0:
                return None, has_room
            z, y, bit, block = best.tolist()
            return _Pose(rotations[trial], shifts[trial], mask, probes, z, y, bit, chosen[trial, block]), has_room

        return list(self.pool.map(seek, range(len(chosen))))

    def _draw(self, kind: Species, poses: list[_Pose]) -> None:
        """Draw particles into the canvas and write them down."""
        pad = (self.centres.shape[2] - _words(self.canvas.shape[2])) // 2
        half = volume_centre_index(kind.density.shape[0])
        densities = self.pool.map(lambda pose: rotate_cube(kind.density, pose.rotation, pose.shift_xyz), poses)
        for pose, density in zip(poses, densities, strict=True):
            nearest = np.array([pose.z, pose.y, pose.bit - pad * free_space.WORD])
            share = stamp(self.canvas, (density, pose.mask, nearest - half), self.first_id + len(self.names))
            self.filled_voxels += round(share * np.count_nonzero(pose.mask))
            self.indices_zyx.append(nearest + pose.shift_xyz[::-1])
            self.rotations.append(pose.rotation)
            self.names.append(kind.name)
            self.visible.append(share)


def _largest_first(pairs: list[tuple[int, Species]]) -> list[tuple[int, Species]]:
    return sorted(pairs, key=lambda pair: -pair[1].volume_voxels)


def _seeds(rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.uint64]:
    return rng.integers(0, 2**63, shape).astype(np.uint64)


def _words(size: int) -> int:
    return -(-size // free_space.WORD)


def _padding(species: Sequence[Species]) -> int:
    """Return how many words a row needs at either end for a particle's half that sticks out."""
    return _words(max((volume_centre_index(kind.mask.shape[0]) for kind in species), default=0)) + 1


def _row_ends(size: int, pad: int, words: int) -> NDArray[np.uint64]:
    """Return the bits of a row that lie in the volume."""
    row = np.zeros(words, np.uint64)
    row[pad : pad + _words(size)] = ~np.uint64(0)
    if size % free_space.WORD:
        row[pad + _words(size) - 1] = np.uint64((1 << (size % free_space.WORD)) - 1)
    return row


def _bits(canvas: Canvas, pad: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the levels of the free space, and the bits where centres may lie: in the slab and in the volume."""
    levels = free_space.pack_free(canvas.sample & (canvas.semantic == 0), pad)
    slab = free_space.pack_free(canvas.sample, pad)[..., 0]
    return levels, slab & _row_ends(canvas.shape[2], pad, slab.shape[2])


def _blocks(shape: tuple[int, ...], pad: int) -> NDArray[np.int64]:
    """Return ``(n, 2, 3)`` low and high corners (z, y, word) of blocks that cover a volume of words."""
    nz, ny, words = shape
    corners = [
        ((z, y, w), (min(z + _BLOCK_Z, nz), min(y + _BLOCK_Y, ny), w + 1))
        for z in range(0, nz, _BLOCK_Z)
        for y in range(0, ny, _BLOCK_Y)
        for w in range(pad, words - pad)
    ]
    return np.array(corners, np.int64).reshape(-1, 2, 3)
