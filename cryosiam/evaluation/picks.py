"""Evaluation of picks: matching with the truth, precision, recall, F1 and average precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cryosiam.domain import Picks


@dataclass(frozen=True)
class Matching:
    """One-to-one pairs of picks and true particles.

    Parameters
    ----------
    pick_index, truth_index
        ``(m,)`` rows of each pair, by pick.
    distance_angstrom
        ``(m,)`` distance of each pair in Å.
    """

    pick_index: NDArray[np.int64]
    truth_index: NDArray[np.int64]
    distance_angstrom: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pick_index)


@dataclass(frozen=True)
class DetectionScore:
    """Counts of a comparison, and what follows from them (thesis equations 23 to 25).

    Parameters
    ----------
    truth, picked, matched
        Number of true particles, of picks, and of pairs.
    """

    truth: int
    picked: int
    matched: int

    @property
    def precision(self) -> float:
        """Share of the picks that are true; NaN without picks."""
        return self.matched / self.picked if self.picked else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true particles that were picked; NaN where there are none."""
        return self.matched / self.truth if self.truth else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN where there is nothing to find and nothing was picked."""
        return 2 * self.matched / (self.truth + self.picked) if self.truth + self.picked else float("nan")

    def __add__(self, other: DetectionScore) -> DetectionScore:
        """Pool the counts of two runs."""
        return DetectionScore(self.truth + other.truth, self.picked + other.picked, self.matched + other.matched)


def match_positions(picked_angstrom: ArrayLike, truth_angstrom: ArrayLike, reach_angstrom: ArrayLike) -> Matching:
    """Pair picks with true particles: as many pairs as possible, and among those the shortest in sum.

    Optimal assignment (Hungarian method), solved apart for each cluster of positions that can see each other.

    Parameters
    ----------
    picked_angstrom
        ``(n, 3)`` positions in Å.
    truth_angstrom
        ``(m, 3)`` positions in Å.
    reach_angstrom
        Largest distance of a pair in Å: one number, or ``(m,)`` one per true particle.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    picked = np.asarray(picked_angstrom, np.float64).reshape(-1, 3)
    truth = np.asarray(truth_angstrom, np.float64).reshape(-1, 3)
    rows, columns, distances = _pairs_in_reach(picked, truth, reach_angstrom)
    n = len(picked)
    size = n + len(truth)
    graph = coo_array((np.ones(len(rows)), (rows, columns + n)), shape=(size, size))
    _, cluster = connected_components(graph, directed=False)
    order = np.argsort(cluster[rows], kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cluster[rows][order]) != 0][: len(rows)])
    chosen: list[int] = []
    for edges in np.split(order, starts)[1:]:
        if len(edges) == 1:
            chosen.append(int(edges[0]))
            continue
        a, i = np.unique(rows[edges], return_inverse=True)
        b, j = np.unique(columns[edges], return_inverse=True)
        # A pair is worth more than any sum of distances, so the number of pairs comes first.
        worth = distances[edges].sum() + 1.0
        cost = np.zeros((len(a), len(b)))
        cost[i, j] = distances[edges] - worth
        edge_of = np.full(cost.shape, -1)
        edge_of[i, j] = edges
        taken = edge_of[linear_sum_assignment(cost)]
        chosen.extend(int(edge) for edge in taken[taken >= 0])
    pairs = np.array(sorted(chosen, key=lambda edge: int(rows[edge])), np.int64)
    return Matching(rows[pairs], columns[pairs], distances[pairs])


def _pairs_in_reach(
    picked: NDArray[np.float64], truth: NDArray[np.float64], reach_angstrom: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return rows, columns and distances of all pairs within reach."""
    from scipy.spatial import cKDTree

    if not len(picked) or not len(truth):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    reach = np.broadcast_to(np.asarray(reach_angstrom, np.float64), (len(truth),))
    near = cKDTree(picked).query_ball_point(truth, reach)
    columns = np.repeat(np.arange(len(truth)), [len(found) for found in near])
    rows = np.array([row for found in near for row in found], np.int64)
    return rows, columns, np.linalg.norm(picked[rows] - truth[columns], axis=1)


def reach_of(truth: Picks, radii_angstrom: Mapping[str, float], fraction: float = 0.5) -> NDArray[np.float64]:
    """Return how near a pick must come to each true particle: a fraction of the radius of its class, in Å.

    Raises
    ------
    KeyError
        If a class has no radius.
    """
    return np.array([fraction * radii_angstrom[name] for name in truth.class_names], np.float64)


def score_picks(
    picks: Picks, truth: Picks, radii_angstrom: Mapping[str, float], fraction: float = 0.5
) -> tuple[DetectionScore, dict[str, DetectionScore]]:
    """Compare the picks of a run with its truth.

    Parameters
    ----------
    picks, truth
        Of the same run.
    radii_angstrom
        Radius of every class in the truth, in Å.
    fraction
        A hit is nearer to the true centre than this fraction of the radius.

    Returns
    -------
    tuple
        Score of all species together, whatever their names, and score per class: a pick counts for the class it
        is named, and hits only particles of that class.
    """
    reach = reach_of(truth, radii_angstrom, fraction)
    together = match_positions(picks.positions_angstrom, truth.positions_angstrom, reach)
    overall = DetectionScore(len(truth), len(picks), len(together))
    by_class = {}
    for name in sorted(set(truth.class_names) | set(picks.class_names)):
        mine, real = picks.of_class(name), truth.of_class(name)
        pairs = match_positions(
            mine.positions_angstrom, real.positions_angstrom, reach_of(real, radii_angstrom, fraction)
        )
        by_class[name] = DetectionScore(len(real), len(mine), len(pairs))
    return overall, by_class


def precision_recall_curve(
    scores: ArrayLike, is_hit: ArrayLike, truth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall at every score at which they change.

    Parameters
    ----------
    scores
        ``(n,)`` scores of the picks.
    is_hit
        ``(n,)`` bool: the pick is one of the pairs of a `Matching`.
    truth
        Number of true particles, found or not.

    Returns
    -------
    tuple
        Precision, recall and score, from the highest score down; picks of equal score come together.
    """
    score = np.asarray(scores, np.float64)
    order = np.argsort(-score, kind="stable")
    score = score[order]
    hits = np.cumsum(np.asarray(is_hit, bool)[order])
    last = np.flatnonzero(np.r_[np.diff(score) != 0, True]) if len(score) else np.zeros(0, np.int64)
    return hits[last] / (last + 1), hits[last] / max(truth, 1), score[last]


def average_precision(scores: ArrayLike, is_hit: ArrayLike, truth: int) -> float:
    """Return the area under the precision-recall curve, ``sum((R_k - R_(k-1)) P_k)``; NaN without truth.

    Particles that were never picked count as missed at every score. Parameters as in `precision_recall_curve`.
    """
    if not truth:
        return float("nan")
    precision, recall, _ = precision_recall_curve(scores, is_hit, truth)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def hits(picks: Picks, truth: Picks, radii_angstrom: Mapping[str, float], fraction: float = 0.5) -> NDArray[np.bool_]:
    """Return ``(n,)`` bool: which picks are paired with a true particle of any class."""
    found = np.zeros(len(picks), bool)
    matching = match_positions(
        picks.positions_angstrom, truth.positions_angstrom, reach_of(truth, radii_angstrom, fraction)
    )
    found[matching.pick_index] = True
    return found
