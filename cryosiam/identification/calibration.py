"""Temperature and threshold of a classifier, fitted on embeddings of particles that it did not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from cryosiam.identification.naming import NamingClassifier

_LOG_RANGE = (-7.0, 4.0)


def fit_temperature(classifier: NamingClassifier, vectors: ArrayLike, names: Sequence[str]) -> float:
    """Return the temperature that makes known names likeliest (Guo, Pleiss, Sun, Weinberger 2017).

    Parameters
    ----------
    classifier
        Gives the scores.
    vectors
        ``(n, d)`` embeddings that the classifier did not learn from.
    names
        ``n`` true names; those that it does not know are left out, and one that it knows must be there.
    """
    known = np.array([name in classifier.class_names for name in names], bool)
    scores = classifier.class_scores(np.asarray(vectors)[known])
    truth = np.array([classifier.class_names.index(name) for name in names if name in classifier.class_names])

    def misfit(log_temperature: float) -> float:
        likely = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float(likely[np.arange(len(truth)), truth].mean())

    return float(np.exp(minimize_scalar(misfit, bounds=_LOG_RANGE, method="bounded").x))


def choose_threshold(confidence: ArrayLike, is_right: ArrayLike, accuracy: float) -> float:
    """Return the lowest probability above which names are right as often as wanted.

    Parameters
    ----------
    confidence
        ``(n,)`` probability of the best class.
    is_right
        ``(n,)`` bool: the best class is the true one.
    accuracy
        Share of right names among those given.

    Returns
    -------
    float
        The threshold; where no threshold gives this accuracy, the one of the best accuracy that at least one name in
        twenty passes.
    """
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    sorted_confidence: NDArray[np.float64] = np.asarray(confidence, np.float64)[order]
    count = np.arange(1, len(order) + 1)
    share = np.cumsum(np.asarray(is_right, bool)[order]) / count
    # Equal probabilities pass together.
    last = np.r_[sorted_confidence[1:] != sorted_confidence[:-1], True]
    good = np.flatnonzero((share >= accuracy) & last)
    if len(good):
        return float(sorted_confidence[good[-1]])
    enough = np.flatnonzero((count >= max(1, len(order) // 20)) & last)
    return float(sorted_confidence[enough[share[enough].argmax()]])
