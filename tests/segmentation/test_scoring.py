from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from cryosiam.errors import WeightsError
from cryosiam.evaluation import reliability
from cryosiam.segmentation import FEATURE_NAMES, ScoreCalibration, fit_score_calibration, held_out_scores


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
    [
        {"weights": [1.0]},
        {"intercept": "high"},
        {"feature_names": ["size"]},
        {"means": None},
        {"knots": [0.0, 1.0]},
        {"knots": [0.0, 1.0], "levels": [1.0, 1.0]},
    ],
)
def test_damaged_calibration_is_one_sentence(change: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="score calibration"):
        ScoreCalibration.from_json({**ScoreCalibration().to_json(), **change})


def test_fit_needs_both_kinds() -> None:
    features, _ = sample(10, 0)
    with pytest.raises(ValueError, match="one kind"):
        fit_score_calibration(features, np.ones(10, bool))


def bent_sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth that levels off at four in five however sure the features are, which no weighted sum can say."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (n, len(FEATURE_NAMES)))
    features[:, 0] = rng.normal(0, 2, n)
    return features, rng.random(n) < np.clip(expit(3 * features[:, 0]), 0.02, 0.8)


def calibration_error(scores: np.ndarray, truth: np.ndarray) -> float:
    return reliability(scores, truth).expected_calibration_error


def test_the_curve_makes_four_in_five_of_a_score_of_0_8() -> None:
    model = fit_score_calibration(*bent_sample(4000, 0))
    features, truth = bent_sample(4000, 1)
    scores = model.scores(features)
    plain = ScoreCalibration(model.intercept, model.weights, model.means, model.scales).scores(features)
    assert calibration_error(scores, truth) < 0.03
    assert calibration_error(plain, truth) > 2 * calibration_error(scores, truth)
    assert truth[scores > 0.7].mean() == pytest.approx(0.8, abs=0.04)


def test_held_out_scores_tell_how_right_scores_of_unseen_instances_are() -> None:
    features, truth = bent_sample(4000, 2)
    scores = held_out_scores(features, truth, groups=np.arange(4000) % 4)
    unseen, unseen_truth = bent_sample(4000, 3)
    error = calibration_error(fit_score_calibration(features, truth).scores(unseen), unseen_truth)
    assert scores is not None
    assert calibration_error(scores.mended, truth) == pytest.approx(error, abs=0.02)
    assert calibration_error(scores.mended, truth) < calibration_error(scores.model, truth)


def test_where_the_model_is_right_there_is_no_curve() -> None:
    rng = np.random.default_rng(5)
    features = rng.normal(0, 1, (3000, len(FEATURE_NAMES)))
    assert fit_score_calibration(features, rng.random(3000) < expit(2 * features[:, 0])).knots == ()


def test_instances_count_by_their_weight() -> None:
    """A crowd in which all is true does not decide about a sparse tomogram that looks the same, where little is."""
    rng = np.random.default_rng(7)
    features = rng.normal(0, 1, (4400, len(FEATURE_NAMES)))
    truth = np.r_[rng.random(4000) < 0.9, rng.random(400) < 0.1]
    alone = fit_score_calibration(features, truth).scores(features)
    alike = fit_score_calibration(features, truth, weights=np.r_[np.ones(4000), np.full(400, 10)]).scores(features)
    assert alone.mean() == pytest.approx(truth.mean(), abs=0.02)
    assert alike.mean() == pytest.approx(0.5, abs=0.03)


def test_few_instances_get_the_model_alone() -> None:
    features, truth = sample(100, 0)
    assert fit_score_calibration(features, truth).knots == ()
    assert held_out_scores(features, truth) is None
    # All of one tomogram: none is left to learn from.
    assert held_out_scores(*sample(400, 0), groups=np.zeros(400)) is None


@settings(max_examples=25, deadline=None)
@given(
    knots=st.lists(st.integers(-40, 40), min_size=1, max_size=8, unique=True),
    rises=st.lists(st.floats(0.01, 4), min_size=8, max_size=8),
    values=st.lists(st.floats(-9, 9), min_size=2, max_size=20),
)
def test_a_curve_keeps_every_rank(knots: list[int], rises: list[float], values: list[float]) -> None:
    model = ScoreCalibration(
        knots=tuple(float(k) / 8 for k in sorted(knots)), levels=tuple(np.cumsum(rises[: len(knots)]).tolist())
    )
    log_odds = np.sort(np.array(values))
    mended = model.mended(log_odds)
    assert (np.diff(mended) >= 0).all()
    assert (np.diff(mended)[np.diff(log_odds) > 1e-6] > 0).all()
    np.testing.assert_allclose(model.mended(np.array(model.knots)), model.levels)
