"""The score of the CZII challenge (Kaggle 2024), as its public scorer computes it, and one-to-one.

Facts of the scorer are those of ``topcup/postprocess/metric.py`` (the challenge's published tool): hits lie within
half the radius; the counts of a class are pooled over tomograms; the score is the weighted mean of the classes' F-beta
with beta 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.evaluation.picks import match_positions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cryosiam.domain import Picks

BETA: Final = 4.0
"""Recall counts beta² times as much as precision."""

HIT_FRACTION: Final = 0.5
"""Share of the radius within which a pick is a hit."""

CZII_WEIGHTS: Final[Mapping[str, float]] = {
    "apo-ferritin": 1.0,
    "beta-amylase": 0.0,
    "beta-galactosidase": 2.0,
    "ribosome": 1.0,
    "cytosolic-ribosome": 1.0,
    "thyroglobulin": 2.0,
    "virus-like-particle": 1.0,
}
"""Weight of the challenge's classes: the hard ones count twice, beta-amylase does not count."""

OTHER_WEIGHT: Final = 1.0
"""Weight of a class that is none of the challenge's."""


@dataclass(frozen=True)
class BetaCounts:
    """Counts of one class.

    Parameters
    ----------
    hits, extra, missed
        True positives, false positives and false negatives. Of the public scorer ``extra`` may be negative, where one
        pick lies within reach of several true particles.
    """

    hits: int = 0
    extra: int = 0
    missed: int = 0

    def __add__(self, other: BetaCounts) -> BetaCounts:
        """Pool the counts of two tomograms."""
        return BetaCounts(self.hits + other.hits, self.extra + other.extra, self.missed + other.missed)

    def f_beta(self, beta: float = BETA) -> float:
        """Return F-beta; 0 where nothing is found, as the public scorer has it."""
        picked, truth = self.hits + self.extra, self.hits + self.missed
        precision = self.hits / picked if picked > 0 else 0.0
        recall = self.hits / truth if truth > 0 else 0.0
        if precision + recall <= 0:
            return 0.0
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


@dataclass(frozen=True)
class CziiScore:
    """Score of all classes.

    Parameters
    ----------
    score
        Weighted mean of the classes; NaN where no class has weight.
    by_class
        F-beta of every class.
    weights
        Weight of every class.
    """

    score: float
    by_class: dict[str, float]
    weights: dict[str, float]


def public_counts(picked_angstrom: ArrayLike, truth_angstrom: ArrayLike, reach_angstrom: float) -> BetaCounts:
    """Count as the public scorer does: true particles that any pick is near are hits, all other picks are extra.

    Parameters
    ----------
    picked_angstrom, truth_angstrom
        ``(n, 3)`` and ``(m, 3)`` positions in Å of one class in one tomogram. True positions given twice count once.
    reach_angstrom
        Largest distance of a hit.
    """
    from scipy.spatial import cKDTree

    picked = np.asarray(picked_angstrom, np.float64).reshape(-1, 3)
    truth = np.unique(np.asarray(truth_angstrom, np.float64).reshape(-1, 3), axis=0)
    if not len(picked) or not len(truth):
        return BetaCounts(0, len(picked), len(truth))
    distance, _ = cKDTree(picked).query(truth)
    found = int(np.count_nonzero(distance <= reach_angstrom))
    return BetaCounts(found, len(picked) - found, len(truth) - found)


def one_to_one_counts(picked_angstrom: ArrayLike, truth_angstrom: ArrayLike, reach_angstrom: float) -> BetaCounts:
    """Count with each pick and each true particle used at most once (Hungarian). Parameters as `public_counts`."""
    picked = np.asarray(picked_angstrom, np.float64).reshape(-1, 3)
    truth = np.unique(np.asarray(truth_angstrom, np.float64).reshape(-1, 3), axis=0)
    found = len(match_positions(picked, truth, reach_angstrom))
    return BetaCounts(found, len(picked) - found, len(truth) - found)


def czii_score(
    runs: Iterable[tuple[Picks, Picks]],
    radii_angstrom: Mapping[str, float],
    weights: Mapping[str, float] | None = None,
    one_to_one: bool = False,
) -> CziiScore:
    """Return the challenge's score of several tomograms.

    Classes are those of the truth; picks of other names are left out, as they are of no class that is asked for.

    Parameters
    ----------
    runs
        Picks and truth of each tomogram.
    radii_angstrom
        Radius of every class in the truth.
    weights
        Weight by class; by default `CZII_WEIGHTS`, and `OTHER_WEIGHT` for a class that is not in it.
    one_to_one
        Count one-to-one in place of the public scorer's way.
    """
    known = CZII_WEIGHTS if weights is None else weights
    pairs = list(runs)
    names = sorted({name for _, truth in pairs for name in truth.class_names})
    count = one_to_one_counts if one_to_one else public_counts
    by_class, used = {}, {}
    for name in names:
        reach = HIT_FRACTION * radii_angstrom[name]
        total = sum((count(_of(picks, name), _of(truth, name), reach) for picks, truth in pairs), BetaCounts())
        by_class[name] = total.f_beta()
        used[name] = float(known.get(name, OTHER_WEIGHT))
    weight = sum(used.values())
    score = sum(by_class[name] * used[name] for name in names) / weight if weight > 0 else float("nan")
    return CziiScore(score, by_class, used)


def _of(picks: Picks, name: str) -> NDArray[np.float64]:
    return picks.of_class(name).positions_angstrom
