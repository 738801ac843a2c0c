from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from cryosiam.evaluation import brier_score, reliability


def test_reliability_by_hand() -> None:
    # Bin [0, 0.5): scores 0.1 and 0.3, one true. Bin [0.5, 1]: 0.5, 0.9 and 1.0, two true.
    diagram = reliability([0.1, 0.3, 0.5, 0.9, 1.0], [False, True, False, True, True], bins=2)
    assert diagram.counts.tolist() == [2, 3]
    assert diagram.mean_score == pytest.approx([0.2, 0.8])
    assert diagram.hit_share == pytest.approx([1 / 2, 2 / 3])
    gaps = [0.3, 0.8 - 2 / 3]
    assert diagram.expected_calibration_error == pytest.approx((2 * gaps[0] + 3 * gaps[1]) / 5)
    assert diagram.maximum_calibration_error == pytest.approx(0.3)


def test_empty_bins_are_not_numbers_and_do_not_count() -> None:
    diagram = reliability([0.95, 0.95], [True, True])
    assert diagram.counts.tolist() == [0] * 9 + [2]
    assert np.isnan(diagram.hit_share[:9]).all()
    assert diagram.expected_calibration_error == pytest.approx(0.05)


def test_without_picks_there_is_no_error_to_speak_of() -> None:
    diagram = reliability([], [])
    assert np.isnan(diagram.expected_calibration_error)
    assert np.isnan(diagram.maximum_calibration_error)
    assert np.isnan(brier_score([], []))


def test_scores_must_be_probabilities() -> None:
    with pytest.raises(ValueError, match=r"go from 0\.5 to 7"):
        reliability([0.5, 7.0], [True, True])


@given(st.integers(0, 2**31), st.integers(2, 200))
def test_agrees_with_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    hit = rng.random(n) < scores
    hit[:2] = [True, False]
    diagram = reliability(scores, hit)
    share, mean = calibration_curve(hit, scores, n_bins=10)
    filled = diagram.counts > 0
    assert diagram.hit_share[filled] == pytest.approx(share)
    assert diagram.mean_score[filled] == pytest.approx(mean)
    assert brier_score(scores, hit) == pytest.approx(brier_score_loss(hit, scores))


def test_honest_scores_have_a_small_error_and_inflated_ones_a_large_one() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    hit = rng.random(20_000) < scores
    assert reliability(scores, hit).expected_calibration_error < 0.02
    assert reliability(np.sqrt(scores), hit).expected_calibration_error > 0.1
