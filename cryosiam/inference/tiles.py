"""Tiles with an exact halo: the result of a fully convolutional network does not depend on how a volume is cut.

The volume is padded once, at the far end, to a multiple of the network's total stride. Tile starts are multiples of
that stride, every face inside the volume carries the halo, and faces of the volume carry none, so each tile's core
sees what it would see in one pass over the padded volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from cryosiam.domain.tomogram import Box

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """One piece of work.

    Parameters
    ----------
    read
        Box of the padded volume that the network sees.
    core
        Box of the volume that this tile answers for; the cores of a plan cover the volume once.
    crop
        Where ``core`` lies inside the network's output for ``read``.
    """

    read: Box
    core: Box
    crop: Box


@dataclass(frozen=True)
class TilePlan:
    """How a volume is cut.

    Parameters
    ----------
    shape
        Size of the volume (z, y, x).
    padded_shape
        ``shape`` rounded up to the network's total stride.
    tiles
        Pieces in the order of work.
    """

    shape: tuple[int, int, int]
    padded_shape: tuple[int, int, int]
    tiles: tuple[Tile, ...]

    @property
    def computed_voxels(self) -> int:
        """Voxels the network computes in all, halos included."""
        return sum(box_voxels(tile.read) for tile in self.tiles)

    @property
    def largest_tile_voxels(self) -> int:
        """Voxels of the largest network input."""
        return max(box_voxels(tile.read) for tile in self.tiles)


def box_voxels(box: Box) -> int:
    """Return the number of voxels in ``box``."""
    return math.prod(part.stop - part.start for part in box)


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class _AxisPlan:
    """Cut of one axis: read and core spans of each tile, in padded voxels."""

    reads: tuple[Span, ...]
    cores: tuple[Span, ...]

    @property
    def longest(self) -> int:
        return max(stop - start for start, stop in self.reads)

    @property
    def total(self) -> int:
        return sum(stop - start for start, stop in self.reads)


def _cut_axis(padded: int, halo: int, longest: int) -> _AxisPlan:
    """Cut ``padded`` voxels into tiles of at most ``longest``: outer tiles carry one halo, inner ones two."""
    if longest >= padded:
        return _AxisPlan(((0, padded),), ((0, padded),))
    cores = [(0, longest - halo)]
    while padded - cores[-1][1] > longest - halo:
        start = cores[-1][1]
        cores.append((start, start + longest - 2 * halo))
    cores.append((cores[-1][1], padded))
    reads = tuple((max(0, start - halo), min(padded, stop + halo)) for start, stop in cores)
    return _AxisPlan(reads, tuple(cores))


def _axis_choices(padded: int, halo: int, step: int) -> list[_AxisPlan]:
    """Return the sensible cuts of one axis: for each number of tiles, the one with the shortest tiles."""
    choices = {1: _cut_axis(padded, halo, padded)}
    for count in range(2, padded // step + 1):
        longest = round_up(-(-(padded + 2 * halo * (count - 1)) // count), step)
        longest = max(longest, (2 * halo if count > 2 else halo) + step)
        if longest < padded:
            plan = _cut_axis(padded, halo, longest)
            choices[len(plan.reads)] = plan
    return list(choices.values())


def plan_tiles(
    shape: tuple[int, int, int],
    *,
    multiple: int,
    halo: int,
    bytes_per_voxel: float,
    memory_bytes: int,
    alignment: int = 1,
) -> TilePlan:
    """Cut a volume so that the network computes as few voxels as the memory allows.

    Parameters
    ----------
    shape
        Size of the volume (z, y, x).
    multiple
        Total stride of the network: sizes and starts of its input must be multiples of it.
    halo
        Receptive-field radius of the network in voxels.
    bytes_per_voxel
        Peak memory of the network for one voxel of a tile.
    memory_bytes
        Memory for one tile.
    alignment
        Tile starts are also multiples of this.

    Raises
    ------
    InputError
        If the memory cannot hold the smallest tile.
    """
    step = math.lcm(multiple, alignment)
    halo = round_up(halo, step)
    padded = tuple(round_up(size, multiple) for size in shape)
    axes = [_axis_choices(size, halo, step) for size in padded]
    affordable = int(memory_bytes / bytes_per_voxel)
    best: tuple[_AxisPlan, _AxisPlan, _AxisPlan] | None = None
    best_cost: tuple[int, int, int] | None = None
    for z, y, x in product(*axes):
        if z.longest * y.longest * x.longest > affordable:
            continue
        # Equal totals: fewer tiles along z, then along y, keep reads contiguous.
        cost = (z.total * y.total * x.total, len(z.reads), len(y.reads))
        if best_cost is None or cost < best_cost:
            best, best_cost = (z, y, x), cost
    if best is None:
        smallest = math.prod(min(choice.longest for choice in choices) for choices in axes)
        needed = math.ceil(smallest * bytes_per_voxel / 1e6) + 1
        raise InputError(
            f"{memory_bytes / 1e6:.0f} MB of memory cannot hold the smallest tile of this network, which needs "
            f"{needed} MB; give more with --memory"
        )
    return _assemble(shape, (padded[0], padded[1], padded[2]), best)


def _assemble(
    shape: tuple[int, int, int],
    padded: tuple[int, int, int],
    axes: tuple[_AxisPlan, _AxisPlan, _AxisPlan],
) -> TilePlan:
    tiles = []
    spans = [list(zip(axis.reads, axis.cores, strict=True)) for axis in axes]
    for pieces in product(*spans):
        read, core, crop = [], [], []
        for ((read_start, read_stop), (start, stop)), size in zip(pieces, shape, strict=True):
            stop = min(stop, size)
            read.append(slice(read_start, read_stop))
            core.append(slice(start, stop))
            crop.append(slice(start - read_start, stop - read_start))
        tiles.append(Tile(_box(read), _box(core), _box(crop)))
    return TilePlan(shape, padded, tuple(tiles))


def _box(parts: list[slice]) -> Box:
    z, y, x = parts
    return z, y, x
