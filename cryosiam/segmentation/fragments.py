"""Fragments: the over-segmentation of one block, its statistics and the edges between neighbours.

Everything here is a function of a voxel's neighbourhood alone (distances are clipped, heights are rounded to fixed
levels, seeds are named after their place), so that two blocks that both see a voxel agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.segmentation.blocks import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box
    from cryosiam.segmentation.config import InstanceConfig

SEED_CELL = 2
"""Edge of the cells that name seeds: voxels of one cell touch, so a cell holds at most one seed."""

LEVELS_PER_VOXEL = 256
"""Heights are whole multiples of ``1 / LEVELS_PER_VOXEL`` voxel."""

_TRUNCATE = 3.0
"""Standard deviations after which the smoothing kernel ends."""


@dataclass(frozen=True)
class BlockMaps:
    """What the networks say about the outer region of a block, all ``(z, y, x)``.

    Parameters
    ----------
    foreground, boundary
        Probabilities as uint8, 0 to 255.
    distance
        Distance to the background in voxels, float32.
    particle
        True where a particle may be: semantic class and sample mask allow it.
    """

    foreground: NDArray[np.uint8]
    boundary: NDArray[np.uint8]
    distance: NDArray[np.float32]
    particle: NDArray[np.bool_]

    def crop(self, box: Box) -> BlockMaps:
        """Return the predictions of a part of the region, as views."""
        return BlockMaps(self.foreground[box], self.boundary[box], self.distance[box], self.particle[box])


@dataclass(frozen=True)
class FragmentTable:
    """Sums over the voxels of each fragment that lie in one core (or, once merged, in the volume).

    Parameters
    ----------
    ids
        ``(n,)`` seed names, ascending.
    peaks
        ``(n,)`` smoothed distance at the seed in voxels.
    sums
        ``(n, 8)`` columns as in `SUM_COLUMNS`.
    max_distance
        ``(n,)`` largest predicted distance in voxels.
    lower, upper
        ``(n, 3)`` bounding box (z, y, x), upper exclusive.
    """

    ids: NDArray[np.int64]
    peaks: NDArray[np.float64]
    sums: NDArray[np.float64]
    max_distance: NDArray[np.float64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]


SUM_COLUMNS = ("voxels", "foreground", "foreground_z", "foreground_y", "foreground_x", "boundary", "distance", "core")
"""Columns of `FragmentTable.sums`: probabilities in 0..1, moments weighted by foreground in voxels."""


@dataclass(frozen=True)
class EdgeTable:
    """Evidence on the interface between two fragments.

    Parameters
    ----------
    pairs
        ``(m, 2)`` seed names, the smaller first.
    saddle
        ``(m,)`` highest smoothed distance at which the two meet, in voxels.
    boundary_sum
        ``(m,)`` sum of the boundary probability over the interface.
    faces
        ``(m,)`` number of voxel faces in the interface.
    """

    pairs: NDArray[np.int64]
    saddle: NDArray[np.float64]
    boundary_sum: NDArray[np.float64]
    faces: NDArray[np.float64]


def seed_cells(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the size (z, y, x) of the grid of cells that names seeds."""
    z, y, x = (-(-n // SEED_CELL) for n in shape)
    return z, y, x


def smoothed_distance(maps: BlockMaps, mask: NDArray[np.bool_], config: InstanceConfig) -> NDArray[np.float32]:
    """Combine predicted and geometric distance into the landscape whose hills are particles.

    The predicted distance is clipped in training, so that large particles are flat inside; the Euclidean distance
    to background or predicted boundary gives them one summit.

    Parameters
    ----------
    maps
        Predictions of a block.
    mask
        ``(z, y, x)`` foreground.
    config
        Settings.

    Returns
    -------
    NDArray
        ``(z, y, x)`` float32, whole numbers: `LEVELS_PER_VOXEL` times the mean of both distances in voxels.
    """
    from bioimage_cpp.distance import distance_transform
    from scipy.ndimage import gaussian_filter

    inside = maps.boundary < round(255 * config.boundary_threshold)
    inside &= mask
    height: NDArray[np.float32]
    if inside.all():
        # No background in sight: the transform has nothing to measure from.
        height = np.full(mask.shape, config.max_radius, np.float32)
    else:
        height = distance_transform(inside, number_of_threads=1)
    np.minimum(height, config.max_radius, out=height)
    np.add(height, maps.distance, out=height, where=mask)
    height *= 0.5 * LEVELS_PER_VOXEL
    height -= np.float32(config.boundary_weight / 255 * LEVELS_PER_VOXEL) * maps.boundary
    height = gaussian_filter(height, config.smoothing, truncate=_TRUNCATE, mode="nearest")
    return np.rint(height, out=height)


def _find_seeds(
    height: NDArray[np.float32], mask: NDArray[np.bool_], config: InstanceConfig
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the local maxima of ``height`` in the mask as ``(n, 3)`` indices, and their heights in voxels."""
    import cc3d
    from scipy.ndimage import maximum_filter

    top = maximum_filter(height, size=2 * config.seed_radius + 1, mode="nearest") == height
    top &= mask
    top &= height >= config.min_peak * LEVELS_PER_VOXEL
    flat = np.flatnonzero(top)
    plateaus = cc3d.connected_components(top, connectivity=26).reshape(-1)[flat]
    # A flat summit is one seed: its first voxel in scan order.
    _, first = np.unique(plateaus, return_index=True)
    chosen = flat[first]
    indices = np.stack(np.unravel_index(chosen, height.shape), axis=1).astype(np.int64)
    return indices, height.reshape(-1)[chosen].astype(np.float64) / LEVELS_PER_VOXEL


def _sums(
    labels: NDArray[np.int32], maps: BlockMaps, block: Block, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `SUM_COLUMNS` (``(count + 1, 8)``) and the largest distance per local label within the core."""
    core = block.core_in_outer
    inner = labels[core]
    z, y, x = np.nonzero(inner)
    member = inner[z, y, x]
    foreground = maps.foreground[core][z, y, x] / 255.0
    distance = maps.distance[core][z, y, x].astype(np.float64)
    start = [axis.start for axis in block.core]
    columns = (
        None,
        foreground,
        foreground * (z + start[0]),
        foreground * (y + start[1]),
        foreground * (x + start[2]),
        maps.boundary[core][z, y, x] / 255.0,
        distance,
        (distance >= 1.0).astype(np.float64),
    )
    sums = np.stack([np.bincount(member, weights=w, minlength=count + 1) for w in columns], axis=1)
    largest = np.zeros(count + 1)
    np.maximum.at(largest, member, distance)
    return sums.astype(np.float64), largest


def _edges(
    labels: NDArray[np.int32],
    height: NDArray[np.float32],
    boundary: NDArray[np.uint8],
    names: NDArray[np.int64],
    block: Block,
) -> EdgeTable:
    """Return the interfaces whose first voxel lies in the core, each face once."""
    core = block.core_in_outer
    first, second, saddle, evidence = [], [], [], []
    for axis in range(3):
        stop = min(core[axis].stop, labels.shape[axis] - 1)
        low = tuple(slice(c.start, stop) if i == axis else c for i, c in enumerate(core))
        high = tuple(slice(s.start + 1, s.stop + 1) if i == axis else s for i, s in enumerate(low))
        a, b = labels[low], labels[high]
        z, y, x = np.nonzero((a != b) & (a > 0) & (b > 0))
        u, v = names[a[z, y, x]], names[b[z, y, x]]
        first.append(np.minimum(u, v))
        second.append(np.maximum(u, v))
        saddle.append(np.minimum(height[low][z, y, x], height[high][z, y, x]))
        evidence.append(np.maximum(boundary[low][z, y, x], boundary[high][z, y, x]) / 255.0)
    return sum_edges(
        np.stack([np.concatenate(first), np.concatenate(second)], axis=1),
        np.concatenate(saddle).astype(np.float64) / LEVELS_PER_VOXEL,
        np.concatenate(evidence),
        np.ones(sum(map(len, first))),
    )


def sum_edges(
    pairs: NDArray[np.int64],
    saddle: NDArray[np.float64],
    boundary_sum: NDArray[np.float64],
    faces: NDArray[np.float64],
) -> EdgeTable:
    """Add up rows of the same pair; arguments and result as the columns of `EdgeTable`."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    if not len(pairs):
        return EdgeTable(pairs, saddle, boundary_sum, faces)
    starts = np.flatnonzero(np.r_[True, (np.diff(pairs, axis=0) != 0).any(axis=1)])
    return EdgeTable(
        pairs[starts],
        np.maximum.reduceat(saddle[order], starts),
        np.add.reduceat(boundary_sum[order], starts),
        np.add.reduceat(faces[order], starts),
    )


def segment_block(
    maps: BlockMaps, block: Block, shape: tuple[int, int, int], config: InstanceConfig
) -> tuple[NDArray[np.int32], FragmentTable, EdgeTable] | None:
    """Cut the foreground of a block into fragments, one per local maximum of the distance.

    Parameters
    ----------
    maps
        Predictions over the outer region.
    block
        Where the block lies.
    shape
        Size of the whole volume (z, y, x).
    config
        Settings.

    Returns
    -------
    tuple or None
        Seed names of the core's voxels (``(z, y, x)`` int32, 0 is none), sums per fragment, edges between
        fragments; None where the block holds no particle.
    """
    from bioimage_cpp.segmentation import watershed

    mask = maps.particle & (maps.foreground >= round(255 * config.foreground_threshold))
    if not mask.any():
        return None
    trimmed, part = _trim(block, mask, config)
    if part is None:
        return None
    maps, mask = maps.crop(part), np.ascontiguousarray(mask[part])
    whole_core, block = block.core, trimmed
    height = smoothed_distance(maps, mask, config)
    seeds, peaks = _find_seeds(height, mask, config)
    if not len(seeds):
        return None
    cells = seed_cells(shape)
    names = np.zeros(len(seeds) + 1, np.int64)
    names[1:] = np.ravel_multi_index(tuple(((seeds + block.origin) // SEED_CELL).T), cells) + 1
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1, dtype=np.int32)
    labels: NDArray[np.int32] = watershed(-height, markers, mask=mask)

    sums, largest = _sums(labels, maps, block, len(seeds))
    present = np.flatnonzero(sums[:, 0])
    lower, upper = _bounding_boxes(labels[block.core_in_outer], present)
    start = np.array([axis.start for axis in block.core])
    rank = np.argsort(names[present])
    order = present[rank]
    fragments = FragmentTable(
        ids=names[order],
        peaks=peaks[order - 1],
        sums=sums[order],
        max_distance=largest[order],
        lower=lower[rank] + start,
        upper=upper[rank] + start,
    )
    edges = _edges(labels, height, maps.boundary, names, block)
    named = np.zeros([axis.stop - axis.start for axis in whole_core], np.int32)
    inside = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(block.core, whole_core, strict=True))
    named[inside] = names.astype(np.int32)[labels[block.core_in_outer]]
    return named, fragments, edges


def _trim(block: Block, mask: NDArray[np.bool_], config: InstanceConfig) -> tuple[Block, Box | None]:
    """Shrink a block to its foreground and the context that smoothing and seeding look at.

    Background beyond changes nothing, so the result is the same. The second value is the part of the outer region
    that is left, None where no foreground is near the core.
    """
    reach = ceil(_TRUNCATE * config.smoothing) + config.seed_radius + 2
    core, outer, part = [], [], []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        old = block.outer[axis]
        start = max(old.start, old.start + int(held[0]) - reach)
        stop = min(old.stop, old.start + int(held[-1]) + 1 + reach)
        outer.append(slice(start, stop))
        core.append(slice(max(block.core[axis].start, start), min(block.core[axis].stop, stop)))
        part.append(slice(start - old.start, stop - old.start))
    trimmed = Block(core=(core[0], core[1], core[2]), outer=(outer[0], outer[1], outer[2]))
    empty = any(axis.start >= axis.stop for axis in core)
    return trimmed, None if empty else (part[0], part[1], part[2])


def _bounding_boxes(
    labels: NDArray[np.int32], present: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and one-past-last index (``(n, 3)`` each) of the labels that are ``present``."""
    from scipy.ndimage import find_objects

    boxes = find_objects(labels)
    found = [boxes[label - 1] for label in present]
    lower = np.array([[s.start for s in box] for box in found], np.int64).reshape(-1, 3)
    upper = np.array([[s.stop for s in box] for box in found], np.int64).reshape(-1, 3)
    return lower, upper
