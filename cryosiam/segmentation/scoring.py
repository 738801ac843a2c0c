"""Scores: how likely an instance is a real particle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from cryosiam.errors import WeightsError
from cryosiam.segmentation.table import FEATURE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ScoreCalibration:
    """A logistic model over the features of an instance.

    ``score = 1 / (1 + exp(-(intercept + sum(weight * (feature - mean) / scale))))``. The defaults are for weights
    that bring no calibration: the foreground probability ranks, and instances that are flat or ragged rank lower.

    Parameters
    ----------
    intercept
        Log-odds of an average instance.
    weights, means, scales
        One per feature of `FEATURE_NAMES`.
    feature_names
        Names of the features, in order.
    """

    intercept: float = 0.0
    weights: tuple[float, ...] = (1.5, -0.5, 0.2, 0.4, 0.2, 0.4, 0.2, -0.3)
    means: tuple[float, ...] = (0.75, 0.3, 6.0, 3.0, 1.5, 0.7, 0.45, 1.4)
    scales: tuple[float, ...] = (0.12, 0.15, 1.2, 1.2, 0.6, 0.15, 0.1, 0.4)
    feature_names: tuple[str, ...] = FEATURE_NAMES

    def __post_init__(self) -> None:
        if self.feature_names != FEATURE_NAMES:
            raise WeightsError(
                f"the score calibration is for features {', '.join(self.feature_names)} and this version computes "
                f"{', '.join(FEATURE_NAMES)}; use weights made for this version"
            )
        if not len(self.weights) == len(self.means) == len(self.scales) == len(FEATURE_NAMES):
            raise WeightsError(f"the score calibration must have {len(FEATURE_NAMES)} weights, means and scales")

    def scores(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each row of ``features`` (``(n, len(FEATURE_NAMES))``) in [0, 1]."""
        standard = (features - np.array(self.means)) / np.array(self.scales)
        result: NDArray[np.float64] = expit(self.intercept + standard @ np.array(self.weights))
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the model as plain values for a weights card."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ScoreCalibration:
        """Read what `to_json` gave.

        Raises
        ------
        WeightsError
            If entries are missing, are no numbers, or belong to other features.
        """
        try:
            return cls(
                intercept=float(values["intercept"]),
                weights=tuple(float(v) for v in values["weights"]),
                means=tuple(float(v) for v in values["means"]),
                scales=tuple(float(v) for v in values["scales"]),
                feature_names=tuple(str(v) for v in values["feature_names"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"the score calibration in the weights card cannot be read: {error!r}") from error


def fit_score_calibration(features: ArrayLike, is_true: ArrayLike, penalty: float = 1.0) -> ScoreCalibration:
    """Fit a score calibration on instances of which the truth is known.

    Parameters
    ----------
    features
        ``(n, len(FEATURE_NAMES))`` from `InstanceTable.features`, of held-out simulations.
    is_true
        ``(n,)`` bool: the instance hits a particle.
    penalty
        Strength of the L2 penalty.

    Returns
    -------
    ScoreCalibration
        Scores are probabilities for data like the one it was fitted on.

    Raises
    ------
    ValueError
        If all instances are true, or all are false: there is nothing to tell apart.
    """
    from sklearn.linear_model import LogisticRegression

    table = np.asarray(features, np.float64)
    truth = np.asarray(is_true, bool)
    if truth.all() or not truth.any():
        raise ValueError("a score calibration needs true and false instances, and these are all of one kind")
    means, scales = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    model = LogisticRegression(C=1 / penalty, max_iter=1000).fit((table - means) / scales, truth)
    return ScoreCalibration(
        intercept=float(model.intercept_[0]),
        weights=tuple(float(v) for v in model.coef_[0]),
        means=tuple(float(v) for v in means),
        scales=tuple(float(v) for v in scales),
    )
