"""Fitting of scores: a logistic model over features, and a rising curve that makes its scores probabilities.

The model's log-odds are a weighted sum, and the truth need not follow one: the surest instances may be less sure than
the sum says. The curve is an isotonic regression (Zadrozny and Elkan 2002) over bins of instances, on scores of models
that did not see them, and is kept only where it makes scores of unseen instances more probable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit, logit

from cryosiam.segmentation.scoring import ScoreCalibration

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FOLDS: Final = 5
"""Parts that instances are split into, where they do not come in fewer groups."""

BIN: Final = 50
"""Instances in a bin of the curve, at the least."""

MOST_BINS: Final = 20

_SEED: Final = 0


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of every instance by fits that did not see it, ``(n,)`` each.

    Parameters
    ----------
    model
        Of the logistic model alone.
    mended
        With the curve.
    """

    model: NDArray[np.float64]
    mended: NDArray[np.float64]


def fit_score_calibration(
    features: ArrayLike,
    is_true: ArrayLike,
    penalty: float = 1.0,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> ScoreCalibration:
    """Fit a score calibration on instances of which the truth is known.

    Parameters
    ----------
    features
        ``(n, len(FEATURE_NAMES))`` from `InstanceTable.features`, of held-out simulations.
    is_true
        ``(n,)`` bool: the instance hits a particle.
    penalty
        Strength of the L2 penalty.
    groups
        ``(n,)`` the tomogram of each instance, so that none is judged by what was learnt from its own tomogram;
        without it, instances are split by chance.
    weights
        ``(n,)`` how much each instance counts; by default all count alike.

    Returns
    -------
    ScoreCalibration
        Scores are probabilities for data like the one it was fitted on.

    Raises
    ------
    ValueError
        If all instances are true, or all are false: there is nothing to tell apart.
    """
    known = _checked(features, is_true, weights)
    model = _fit_model(known, penalty)
    folds = _folds(known.is_true, groups)
    if folds is None:
        return model
    log_odds = _held_out_log_odds(known, penalty, folds)
    scores = _held_out(log_odds, known, folds)
    if _log_loss(scores.mended, known) >= _log_loss(scores.model, known):
        return model
    knots, levels = _curve(log_odds, known)
    return replace(model, knots=knots, levels=levels)


def held_out_scores(
    features: ArrayLike,
    is_true: ArrayLike,
    penalty: float = 1.0,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> HeldOutScores | None:
    """Return scores as of unseen instances, to tell how right they are before and after mending.

    Parameters and errors as `fit_score_calibration`. None where there are too few instances to hold some out.
    """
    known = _checked(features, is_true, weights)
    folds = _folds(known.is_true, groups)
    return None if folds is None else _held_out(_held_out_log_odds(known, penalty, folds), known, folds)


@dataclass(frozen=True)
class _Known:
    """Instances of which the truth is known: features ``(n, f)``, truth and weights ``(n,)``."""

    features: NDArray[np.float64]
    is_true: NDArray[np.bool_]
    weights: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> _Known:
        return _Known(self.features[chosen], self.is_true[chosen], self.weights[chosen])


def _checked(features: ArrayLike, is_true: ArrayLike, weights: ArrayLike | None) -> _Known:
    truth = np.asarray(is_true, bool)
    if truth.all() or not truth.any():
        raise ValueError("a score calibration needs true and false instances, and these are all of one kind")
    weight = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    return _Known(np.asarray(features, np.float64), truth, weight / weight.mean())


def _fit_model(known: _Known, penalty: float) -> ScoreCalibration:
    from sklearn.linear_model import LogisticRegression

    table = known.features
    means, scales = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    model = LogisticRegression(C=1 / penalty, max_iter=1000)
    model.fit((table - means) / scales, known.is_true, sample_weight=known.weights)
    return ScoreCalibration(
        intercept=float(model.intercept_[0]),
        weights=tuple(float(v) for v in model.coef_[0]),
        means=tuple(float(v) for v in means),
        scales=tuple(float(v) for v in scales),
    )


def _folds(truth: NDArray[np.bool_], groups: ArrayLike | None) -> NDArray[np.int64] | None:
    """Return the fold of each instance; None where a fold would leave too few, or only one kind, to learn from."""
    if groups is None:
        fold = np.random.default_rng(_SEED).permutation(len(truth)) % FOLDS
    else:
        _, number = np.unique(np.asarray(groups), return_inverse=True)
        fold = number % FOLDS
    counts = np.bincount(fold)
    kinds = np.bincount(fold, weights=truth)
    left, left_true = len(truth) - counts, truth.sum() - kinds
    if len(counts) < 2 or left.min() < 2 * BIN or left_true.min() < 1 or (left - left_true).min() < 1:
        return None
    return fold.astype(np.int64)


def _held_out_log_odds(known: _Known, penalty: float, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    log_odds = np.empty(len(folds))
    for fold in np.unique(folds):
        own = folds == fold
        log_odds[own] = _fit_model(known[~own], penalty).log_odds(known.features[own])
    return log_odds


def _held_out(log_odds: NDArray[np.float64], known: _Known, folds: NDArray[np.int64]) -> HeldOutScores:
    mended = np.empty(len(folds))
    for fold in np.unique(folds):
        own = folds == fold
        knots, levels = _curve(log_odds[~own], known[~own])
        mended[own] = ScoreCalibration(knots=knots, levels=levels).mended(log_odds[own])
    return HeldOutScores(expit(log_odds), expit(mended))


def _curve(log_odds: NDArray[np.float64], known: _Known) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return knots and levels: mean log-odds of the model, and the true ones, of bins that rise.

    Neighbouring bins that do not rise are joined, which is isotonic regression; their means rise strictly, so that
    straight lines through them keep every rank.
    """
    order = np.argsort(log_odds, kind="stable")
    count = int(np.clip(len(order) // BIN, 1, MOST_BINS))
    joined: list[tuple[float, float, float]] = []
    for part in np.array_split(order, count):
        weight = known.weights[part]
        total, hits, size = float(weight @ log_odds[part]), float(weight @ known.is_true[part]), float(weight.sum())
        while joined and _rate(joined[-1][1], joined[-1][2]) >= _rate(hits, size):
            before = joined.pop()
            total, hits, size = total + before[0], hits + before[1], size + before[2]
        joined.append((total, hits, size))
    knots = [total / size for total, _, size in joined]
    levels = [float(logit(_rate(hits, size))) for _, hits, size in joined]
    kept = [i for i in range(len(knots)) if i == 0 or knots[i] > knots[i - 1]]
    return tuple(knots[i] for i in kept), tuple(levels[i] for i in kept)


def _rate(hits: float, size: float) -> float:
    """Return the share of hits with one more of either kind (Laplace), for no bin is certain."""
    return (hits + 1) / (size + 2)


def _log_loss(scores: NDArray[np.float64], known: _Known) -> float:
    said = np.where(known.is_true, scores, 1 - scores).clip(1e-12)
    return -float(np.average(np.log(said), weights=known.weights))
