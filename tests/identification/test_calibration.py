"""Temperature and threshold of a classifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from cryosiam.evaluation.calibration import reliability
from cryosiam.identification import Classifier
from cryosiam.identification.calibration import choose_threshold, fit_temperature


def overconfident(true_temperature: float, seed: int) -> tuple[Classifier, np.ndarray, list[str]]:
    """Return a classifier whose logits are to be divided by a known temperature, and examples drawn accordingly."""
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c")
    weight = np.float32(6) * np.eye(3, 8, dtype=np.float32)
    vectors = rng.normal(size=(4000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chances = softmax(vectors @ weight.T / true_temperature, axis=1)
    drawn = (chances.cumsum(axis=1) > rng.random((len(vectors), 1))).argmax(axis=1)
    return Classifier(names, weight, np.zeros(3, np.float32)), vectors, [names[one] for one in drawn]


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_examples_is_found(true_temperature: float) -> None:
    classifier, vectors, names = overconfident(true_temperature, 0)
    assert fit_temperature(classifier, vectors, names) == pytest.approx(true_temperature, rel=0.15)


def test_a_calibrated_classifier_means_what_it_says() -> None:
    classifier, vectors, names = overconfident(3.0, 1)
    warm = classifier.with_temperature(fit_temperature(classifier, vectors[:2000], names[:2000]))

    def error(one: Classifier) -> float:
        found = one.probabilities(vectors[2000:])
        right = np.array(one.class_names)[found.argmax(axis=1)] == np.array(names[2000:])
        return reliability(found.max(axis=1), right).expected_calibration_error

    assert error(classifier) > 0.2
    assert error(warm) < 0.05


def test_names_that_the_classifier_does_not_know_change_nothing() -> None:
    classifier, vectors, names = overconfident(2.0, 2)
    mixed = [*names[:1000], *["other"] * 1000]
    assert fit_temperature(classifier, vectors[:2000], mixed) == pytest.approx(
        fit_temperature(classifier, vectors[:1000], names[:1000])
    )


def test_threshold_of_a_hand_worked_case() -> None:
    confidence = [0.9, 0.8, 0.7, 0.6, 0.5]
    right = [True, True, False, True, False]
    assert choose_threshold(confidence, right, 1.0) == 0.8
    assert choose_threshold(confidence, right, 0.75) == 0.6
    assert choose_threshold(confidence, right, 0.6) == 0.5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 0.95), st.integers(1, 300))
def test_the_threshold_keeps_its_promise_or_the_best_that_can_be_had(seed: int, accuracy: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(count), 2)
    right = rng.random(count) < confidence
    threshold = choose_threshold(confidence, right, accuracy)
    given_names = confidence >= threshold
    assert given_names.any()
    reachable = max(right[confidence >= one].mean() for one in np.unique(confidence))
    if reachable >= accuracy:
        assert right[given_names].mean() >= accuracy
        # No lower threshold would do.
        assert all(right[confidence >= one].mean() < accuracy for one in np.unique(confidence) if one < threshold)
