"""Merging: which fragments belong to one particle (multicut over the region adjacency graph)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cryosiam.segmentation.fragments import EdgeTable, FragmentTable, sum_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.segmentation.config import InstanceConfig

_T = TypeVar("_T", bound=np.generic)


def join_fragment_tables(tables: Sequence[FragmentTable]) -> FragmentTable:
    """Add up the sums of fragments that lie in the cores of several blocks."""
    ids = np.concatenate([t.ids for t in tables])
    unique, group = np.unique(ids, return_inverse=True)
    return FragmentTable(
        ids=unique,
        peaks=_reduce(np.maximum, np.concatenate([t.peaks for t in tables]), group, len(unique)),
        sums=_reduce(np.add, np.concatenate([t.sums for t in tables]), group, len(unique)),
        max_distance=_reduce(np.maximum, np.concatenate([t.max_distance for t in tables]), group, len(unique)),
        lower=_reduce(np.minimum, np.concatenate([t.lower for t in tables]), group, len(unique)),
        upper=_reduce(np.maximum, np.concatenate([t.upper for t in tables]), group, len(unique)),
    )


def group_fragments(table: FragmentTable, group: NDArray[np.int64], count: int) -> FragmentTable:
    """Add up fragments of the same group; the id of a group is its smallest fragment id."""
    return FragmentTable(
        ids=_reduce(np.minimum, table.ids, group, count),
        peaks=_reduce(np.maximum, table.peaks, group, count),
        sums=_reduce(np.add, table.sums, group, count),
        max_distance=_reduce(np.maximum, table.max_distance, group, count),
        lower=_reduce(np.minimum, table.lower, group, count),
        upper=_reduce(np.maximum, table.upper, group, count),
    )


def _reduce(ufunc: np.ufunc, values: NDArray[_T], group: NDArray[np.int64], count: int) -> NDArray[_T]:
    """Reduce rows of ``values`` that share a group number; every group 0 to ``count - 1`` has a row."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(count))
    reduced: NDArray[_T] = ufunc.reduceat(values[order], starts, axis=0)
    return reduced


def join_edge_tables(tables: Sequence[EdgeTable]) -> EdgeTable:
    """Add up the edges of several blocks."""
    return sum_edges(
        np.concatenate([t.pairs for t in tables]),
        np.concatenate([t.saddle for t in tables]),
        np.concatenate([t.boundary_sum for t in tables]),
        np.concatenate([t.faces for t in tables]),
    )


def merge_fragments(
    fragments: FragmentTable, edges: EdgeTable, config: InstanceConfig
) -> tuple[NDArray[np.int64], int]:
    """Group fragments into particles by a multicut (thesis section 3.2.2).

    Two fragments attract where the saddle between them is nearly as high as the lower of their summits and where they
    are compact together, and repel where it is low, where the networks see a boundary, or where they lie side by side
    like two balls. Greedy additive contraction followed by Kernighan-Lin
    minimises the cost of the cut edges (Keuper et al. 2015).

    Parameters
    ----------
    fragments
        All fragments of the volume, ids ascending.
    edges
        Interfaces between them; pairs that name an unknown fragment are ignored.
    config
        Settings.

    Returns
    -------
    tuple
        ``(n,)`` group of each fragment and the number of groups; groups are numbered by first fragment.
    """
    from bioimage_cpp.graph import UndirectedGraph
    from bioimage_cpp.graph.multicut import (
        ChainedMulticutSolvers,
        GreedyAdditiveMulticut,
        KernighanLinMulticut,
        MulticutObjective,
    )

    n = len(fragments.ids)
    ends = np.searchsorted(fragments.ids, edges.pairs).clip(max=n - 1)
    known = (fragments.ids[ends] == edges.pairs).all(axis=1)
    ends, costs = ends[known], _edge_costs(fragments, edges, ends, config)[known]
    if not len(ends):
        return np.arange(n), n
    graph = UndirectedGraph.from_unique_edges(n, ends.astype(np.uint64))
    solver = ChainedMulticutSolvers([GreedyAdditiveMulticut(), KernighanLinMulticut()])
    labels = np.asarray(solver.optimize(MulticutObjective(graph, costs)), np.int64)
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group], len(first)


def _edge_costs(
    fragments: FragmentTable, edges: EdgeTable, ends: NDArray[np.int64], config: InstanceConfig
) -> NDArray[np.float64]:
    """Return the cost of cutting each edge: positive attracts, negative repels."""
    summit = fragments.peaks[ends].min(axis=1)
    # Relative to the summit; of hills lower than a voxel, the depth in voxels counts, for their shape is noise.
    depth = np.clip((summit - edges.saddle) / np.maximum(summit, 1.0), 0.0, 1.0)
    boundary = edges.boundary_sum / edges.faces
    centres = fragments.sums[:, 2:5] / fragments.sums[:, 1:2]
    distance = np.linalg.norm(centres[ends[:, 0]] - centres[ends[:, 1]], axis=1)
    distance /= np.cbrt(fragments.sums[ends, 0].sum(axis=1) * 3 / (4 * np.pi))
    repulsion = depth / config.merge_depth + boundary / config.merge_boundary
    repulsion += config.merge_shape * (distance - config.merge_distance)
    costs: NDArray[np.float64] = 1.0 - repulsion
    return costs
