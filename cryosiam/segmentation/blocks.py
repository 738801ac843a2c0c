"""Blocks: cores that tile a volume exactly once, each with a margin of context around it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil

from cryosiam.domain.tomogram import Box


@dataclass(frozen=True)
class Block:
    """A core and the larger region that is read to decide about it.

    Parameters
    ----------
    core
        Region this block answers for; the cores of all blocks tile the volume.
    outer
        Core grown by the margin and clipped to the volume.
    """

    core: Box
    outer: Box

    @property
    def origin(self) -> tuple[int, int, int]:
        """First voxel (z, y, x) of the outer region."""
        return self.outer[0].start, self.outer[1].start, self.outer[2].start

    @property
    def core_in_outer(self) -> Box:
        """The core as slices into an array that holds the outer region."""
        z, y, x = (slice(c.start - o.start, c.stop - o.start) for c, o in zip(self.core, self.outer, strict=True))
        return z, y, x


def plan_blocks(shape: tuple[int, int, int], size: int, margin: int) -> list[Block]:
    """Cut a volume into near-equal blocks.

    Parameters
    ----------
    shape
        Volume size (z, y, x) in voxels.
    size
        Largest edge of a core in voxels.
    margin
        Voxels of context on every side, where the volume has them.

    Returns
    -------
    list of Block
        In z, y, x order.
    """
    axes = []
    for length in shape:
        count = max(1, ceil(length / size))
        edges = [round(i * length / count) for i in range(count + 1)]
        axes.append([(slice(a, b), slice(max(0, a - margin), min(length, b + margin))) for a, b in pairwise(edges)])
    return [Block(core=(z[0], y[0], x[0]), outer=(z[1], y[1], x[1])) for z, y, x in product(axes[0], axes[1], axes[2])]
