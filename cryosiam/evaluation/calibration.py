"""How far scores are probabilities: reliability diagram and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BINS: Final = 10


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram: scores in bins of equal width over [0, 1].

    Parameters
    ----------
    edges
        ``(b + 1,)`` edges of the bins.
    counts
        ``(b,)`` picks in each bin.
    mean_score, hit_share
        ``(b,)`` mean score, and share of the picks that are hits; NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    mean_score: NDArray[np.float64]
    hit_share: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of hit share and score over the picks (Naeini, Cooper, Hauskrecht 2015); NaN without any."""
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        gap = np.abs(self.hit_share[filled] - self.mean_score[filled])
        return float(np.average(gap, weights=self.counts[filled]))

    @property
    def maximum_calibration_error(self) -> float:
        """Largest distance of hit share and score in a bin; NaN without picks."""
        filled = self.counts > 0
        return float(np.abs(self.hit_share - self.mean_score)[filled].max()) if filled.any() else float("nan")


def reliability(scores: ArrayLike, is_hit: ArrayLike, bins: int = BINS) -> Reliability:
    """Return the reliability diagram of scored picks.

    Parameters
    ----------
    scores
        ``(n,)`` in [0, 1]. A score on an edge belongs to the upper bin, 1 to the last.
    is_hit
        ``(n,)`` bool: the pick is true.
    bins
        Number of bins.

    Raises
    ------
    ValueError
        If a score is not in [0, 1].
    """
    score, hit = np.asarray(scores, np.float64), np.asarray(is_hit, np.float64)
    if score.size and (score.min() < 0 or score.max() > 1):
        raise ValueError(f"scores must be from 0 to 1, and these go from {score.min():g} to {score.max():g}")
    edges = np.linspace(0, 1, bins + 1)
    member = np.searchsorted(edges[1:-1], score, side="right")
    counts = np.bincount(member, minlength=bins)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(member, weights=values, minlength=bins)
        return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)

    return Reliability(edges, counts, mean(score), mean(hit))


def brier_score(scores: ArrayLike, is_hit: ArrayLike) -> float:
    """Return the mean squared distance of score and outcome (Brier 1950); NaN without picks."""
    score, hit = np.asarray(scores, np.float64), np.asarray(is_hit, np.float64)
    return float(np.mean((score - hit) ** 2)) if score.size else float("nan")
