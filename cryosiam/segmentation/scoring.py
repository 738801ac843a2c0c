"""Scores: how likely an instance is a real particle. They are fitted in `cryosiam.segmentation.score_fitting`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from cryosiam.errors import WeightsError
from cryosiam.segmentation.table import FEATURE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoreCalibration:
    """A logistic model over the features of an instance, and a curve that mends its log-odds.

    The log-odds of the model are ``intercept + sum(weight * (feature - mean) / scale)``. The curve goes in straight
    lines through ``(knot, level)`` and on with slope 1 beyond its ends; without knots it changes nothing. The score is
    the probability of the mended log-odds. The defaults are for weights that bring no calibration: the foreground
    probability ranks, and instances that are flat or ragged rank lower.

    Parameters
    ----------
    intercept
        Log-odds of an average instance.
    weights, means, scales
        One per feature of `FEATURE_NAMES`.
    feature_names
        Names of the features, in order.
    knots, levels
        Log-odds of the model, and what they really are; both strictly ascending, so that the ranks stay.
    """

    intercept: float = 0.0
    weights: tuple[float, ...] = (1.5, -0.5, 0.2, 0.4, 0.2, 0.4, 0.2, -0.3)
    means: tuple[float, ...] = (0.75, 0.3, 6.0, 3.0, 1.5, 0.7, 0.45, 1.4)
    scales: tuple[float, ...] = (0.12, 0.15, 1.2, 1.2, 0.6, 0.15, 0.1, 0.4)
    feature_names: tuple[str, ...] = FEATURE_NAMES
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.feature_names != FEATURE_NAMES:
            raise WeightsError(
                f"the score calibration is for features {', '.join(self.feature_names)} and this version computes "
                f"{', '.join(FEATURE_NAMES)}; use weights made for this version"
            )
        if not len(self.weights) == len(self.means) == len(self.scales) == len(FEATURE_NAMES):
            raise WeightsError(f"the score calibration must have {len(FEATURE_NAMES)} weights, means and scales")
        ascending = all((np.diff(values) > 0).all() for values in (self.knots, self.levels))
        if len(self.knots) != len(self.levels) or not ascending:
            raise WeightsError("the score calibration must have as many knots as levels, both strictly ascending")

    def log_odds(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the model's log-odds of each row of ``features`` (``(n, len(FEATURE_NAMES))``), not mended."""
        standard = (features - np.array(self.means)) / np.array(self.scales)
        result: NDArray[np.float64] = self.intercept + standard @ np.array(self.weights)
        return result

    def mended(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds that the curve makes of the model's."""
        if not self.knots:
            return log_odds
        inside = np.clip(log_odds, self.knots[0], self.knots[-1])
        return np.asarray(np.interp(inside, self.knots, self.levels) + (log_odds - inside), np.float64)

    def scores(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each row of ``features`` (``(n, len(FEATURE_NAMES))``) in [0, 1]."""
        result: NDArray[np.float64] = expit(self.mended(self.log_odds(features)))
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
                knots=tuple(float(v) for v in values.get("knots", ())),
                levels=tuple(float(v) for v in values.get("levels", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"the score calibration in the weights card cannot be read: {error!r}") from error
