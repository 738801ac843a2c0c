"""Instances: from predicted foreground, boundary and distance to one label per particle.

Fragments are cut block by block by a seeded watershed and joined by one multicut over the whole volume (thesis
section 3.2.2). Memory does not grow with the volume: a block at a time, and tables of one row per fragment.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.segmentation.blocks import Block, plan_blocks
from cryosiam.segmentation.config import InstanceConfig
from cryosiam.segmentation.fragments import (
    SEED_CELL,
    BlockMaps,
    EdgeTable,
    FragmentTable,
    seed_cells,
    segment_block,
)
from cryosiam.segmentation.merging import (
    group_fragments,
    join_edge_tables,
    join_fragment_tables,
    merge_fragments,
)
from cryosiam.segmentation.scoring import ScoreCalibration
from cryosiam.segmentation.table import InstanceTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume

_MAY_BE_PARTICLE = (SEMANTIC_CLASSES.index("background"), SEMANTIC_CLASSES.index("particle"))


@dataclass(frozen=True)
class InstanceMaps:
    """What the instance separation reads, all on one grid ``(z, y, x)``; memory maps will do.

    Parameters
    ----------
    foreground, boundary
        Probabilities as uint8, 0 to 255.
    distance
        Distance to the background in voxels, float16 or float32; negative counts as 0.
    semantic
        Semantic labels as uint8: voxels of membranes and filaments hold no particle. Background may, for in a noisy
        volume the foreground crosses its threshold long before the most likely class changes. None where the
        foreground alone decides.
    sample
        Sample mask; voxels below 0.5 hold no particle. None where all is sample.
    """

    foreground: NDArray[np.uint8]
    boundary: NDArray[np.uint8]
    distance: NDArray[np.floating]
    semantic: NDArray[np.uint8] | None = None
    sample: Volume | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        z, y, x = self.foreground.shape
        return int(z), int(y), int(x)

    def read(self, box: Box) -> BlockMaps:
        """Return the predictions of one region."""
        foreground = np.array(self.foreground[box])
        particle = np.ones(foreground.shape, bool)
        if self.semantic is not None:
            particle &= np.isin(self.semantic[box], _MAY_BE_PARTICLE)
        if self.sample is not None:
            particle &= self.sample.read(box) >= 0.5
        distance = np.maximum(self.distance[box], 0, dtype=np.float32)
        return BlockMaps(foreground, np.array(self.boundary[box]), distance, particle)


def separate_instances(
    maps: InstanceMaps,
    out: NDArray[np.int32],
    config: InstanceConfig | None = None,
    calibration: ScoreCalibration | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> InstanceTable:
    """Separate particles and write one label per particle.

    The result does not depend on the block size, but for ties between voxels of equal height.

    Parameters
    ----------
    maps
        Predictions.
    out
        ``(z, y, x)`` int32 to write labels into (a memory map will do): 0 is no particle, labels run from 1 to
        the number of instances in scan order of their seeds.
    config
        Settings; defaults where None.
    calibration
        Turns features into scores; defaults where None.
    workers
        Threads; each holds one block.
    progress
        Called with the number of blocks done and their total.

    Returns
    -------
    InstanceTable
        Row ``i`` describes label ``i + 1``.

    Raises
    ------
    ValueError
        If shapes or types do not fit, or the volume is too large for 32-bit labels.
    """
    config = config or InstanceConfig()
    shape = maps.shape
    _check(maps, out)
    blocks = plan_blocks(shape, config.block_size, config.margin)

    def work(block: Block) -> tuple[FragmentTable, EdgeTable] | None:
        found = segment_block(maps.read(block.outer), block, shape, config)
        if found is None:
            out[block.core] = 0
            return None
        out[block.core], fragments, edges = found
        return fragments, edges

    tables: list[tuple[FragmentTable, EdgeTable]] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        pending = [pool.submit(work, block) for block in blocks]
        try:
            for done, future in enumerate(as_completed(pending), start=1):
                result = future.result()
                if result is not None:
                    tables.append(result)
                if progress is not None:
                    progress(done, len(blocks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not tables:
        return _instance_table(None, shape, calibration)

    fragments = join_fragment_tables([fragment for fragment, _ in tables])
    edges = join_edge_tables([edge for _, edge in tables])
    group, count = merge_fragments(fragments, edges, config)
    particles = group_fragments(fragments, group, count)
    keep = particles.sums[:, 0] >= config.min_voxels
    table = _instance_table(_rows(particles, keep), shape, calibration)
    sure = table.scores >= config.min_score
    keep[keep] = sure
    label = np.where(keep, np.cumsum(keep), 0)
    _relabel(out, fragments.ids, label[group], workers)
    return table.select(sure)


def _check(maps: InstanceMaps, out: NDArray[np.int32]) -> None:
    """Raise ValueError where the arrays do not fit together."""
    others = [maps.boundary.shape, maps.distance.shape, out.shape]
    others += [maps.semantic.shape] if maps.semantic is not None else []
    others += [maps.sample.shape] if maps.sample is not None else []
    if any(shape != maps.shape for shape in others):
        raise ValueError(f"predictions and output differ in shape: {maps.shape} and {others}")
    if out.dtype != np.int32:
        raise ValueError(f"labels are written as int32, not {out.dtype}")
    if np.prod(seed_cells(maps.shape), dtype=np.float64) >= np.iinfo(np.int32).max:
        raise ValueError(f"a volume of {maps.shape} voxels has more than 2^31 cells of {SEED_CELL} voxels")


def _rows(table: FragmentTable, keep: NDArray[np.bool_]) -> FragmentTable:
    """Return the rows to keep."""
    return FragmentTable(
        table.ids[keep],
        table.peaks[keep],
        table.sums[keep],
        table.max_distance[keep],
        table.lower[keep],
        table.upper[keep],
    )


def _relabel(
    out: NDArray[np.int32], ids: NDArray[np.int64], labels: NDArray[np.int64], workers: int, slab: int = 16
) -> None:
    """Replace seed names by labels in place, slab by slab."""
    names = ids.astype(np.int32)
    values = labels.astype(np.int32)

    def work(start: int) -> None:
        part = out[start : start + slab]
        where = part > 0
        part[where] = values[np.searchsorted(names, part[where])]

    with ThreadPoolExecutor(max_workers=workers) as pool:
        for _ in pool.map(work, range(0, out.shape[0], slab)):
            pass


def _instance_table(
    table: FragmentTable | None, shape: tuple[int, int, int], calibration: ScoreCalibration | None
) -> InstanceTable:
    """Turn sums into means and scores."""
    if table is None:
        empty = np.zeros(0)
        table = FragmentTable(
            np.zeros(0, np.int64), empty, np.zeros((0, 8)), empty, np.zeros((0, 3), int), np.zeros((0, 3), int)
        )
    voxels, foreground, moment, boundary, distance = (
        table.sums[:, 0],
        table.sums[:, 1],
        table.sums[:, 2:5],
        table.sums[:, 5],
        table.sums[:, 6],
    )
    instances = InstanceTable(
        centroids_zyx=moment / foreground[:, None],
        voxels=voxels.astype(np.int64),
        mean_foreground=foreground / voxels,
        mean_boundary=boundary / voxels,
        max_distance=table.max_distance,
        mean_distance=distance / voxels,
        peak_height=table.peaks,
        lower_zyx=table.lower,
        upper_zyx=table.upper,
        touches_edge=((table.lower == 0) | (table.upper == np.array(shape))).any(axis=1),
        scores=np.zeros(len(voxels)),
    )
    return instances.with_scores((calibration or ScoreCalibration()).scores(instances.features))
