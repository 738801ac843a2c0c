from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cryosiam.errors import WeightsError
from cryosiam.segmentation import FEATURE_NAMES, ScoreCalibration, fit_score_calibration


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.6
    features = rng.normal(0, 1, (n, len(FEATURE_NAMES)))
    features[:, 0] = 0.7 + 0.1 * features[:, 0] + 0.15 * truth
    features[:, 2] = 6 + features[:, 2] + 2 * truth
    return features, truth


def test_fitted_scores_are_probabilities_that_rank() -> None:
    model = fit_score_calibration(*sample(800, 0))
    features, truth = sample(800, 1)
    scores = model.scores(features)
    assert roc_auc_score(truth, scores) > 0.9
    high = scores > 0.8
    assert truth[high].mean() == pytest.approx(scores[high].mean(), abs=0.06)


def test_default_scores_rise_with_foreground_and_stay_in_range() -> None:
    model = ScoreCalibration()
    features = np.tile(np.array(model.means), (20, 1))
    features[:, 0] = np.linspace(0, 1, 20)
    scores = model.scores(features)
    assert (np.diff(scores) > 0).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_calibration_survives_json() -> None:
    model = fit_score_calibration(*sample(100, 0))
    assert ScoreCalibration.from_json(json.loads(json.dumps(model.to_json()))) == model


@pytest.mark.parametrize(
    "change",
    [{"weights": [1.0]}, {"intercept": "high"}, {"feature_names": ["size"]}, {"means": None}],
)
def test_damaged_calibration_is_one_sentence(change: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="score calibration"):
        ScoreCalibration.from_json({**ScoreCalibration().to_json(), **change})


def test_fit_needs_both_kinds() -> None:
    features, _ = sample(10, 0)
    with pytest.raises(ValueError, match="one kind"):
        fit_score_calibration(features, np.ones(10, bool))
