from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from cryosiam.domain import Picks
from cryosiam.evaluation import (
    DetectionScore,
    average_precision,
    hits,
    match_positions,
    precision_recall_curve,
    score_picks,
)


def picks(positions: list[list[float]], names: list[str], scores: list[float] | None = None) -> Picks:
    n = len(positions)
    return Picks(
        run="one",
        positions_angstrom=np.array(positions, np.float64).reshape(n, 3),
        scores=np.array(scores if scores is not None else [1.0] * n),
        class_names=tuple(names),
    )


def test_matching_prefers_more_pairs_over_the_nearest_pair() -> None:
    # Truth 0 and pick 0 are nearest, but then pick 1 and truth 1 would be left alone.
    matching = match_positions([[0, 0, 0], [-8, 0, 0]], [[1, 0, 0], [7, 0, 0]], 9.5)
    assert matching.pick_index.tolist() == [0, 1]
    assert matching.truth_index.tolist() == [1, 0]
    assert matching.distance_angstrom == pytest.approx([7, 9])


def test_each_truth_is_found_once() -> None:
    matching = match_positions([[0, 0, 0], [2, 0, 0]], [[1.5, 0, 0]], 5)
    assert matching.pick_index.tolist() == [1]


def test_reach_is_a_property_of_the_true_particle() -> None:
    matching = match_positions([[3, 0, 0], [103, 0, 0]], [[0, 0, 0], [100, 0, 0]], [2.0, 4.0])
    assert matching.truth_index.tolist() == [1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 25), st.integers(0, 25), st.floats(1, 60))
def test_matching_is_the_optimal_assignment(seed: int, n: int, m: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    picked, truth = rng.uniform(0, 100, (n, 3)), rng.uniform(0, 100, (m, 3))
    matching = match_positions(picked, truth, reach)
    assert len(set(matching.pick_index)) == len(set(matching.truth_index)) == len(matching)
    assert (matching.distance_angstrom <= reach).all()
    distance = cdist(picked, truth)
    cost = np.where(distance <= reach, distance - 1e5, 0.0)
    rows, columns = linear_sum_assignment(cost)
    best = cost[rows, columns]
    assert len(matching) == (best < 0).sum()
    assert matching.distance_angstrom.sum() == pytest.approx(best[best < 0].sum() + 1e5 * (best < 0).sum(), abs=1e-5)


def test_three_thousand_picks_are_matched_in_seconds() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 6300, (3000, 3)) * [1, 1, 0.3]
    start = time.process_time()
    matching = match_positions(truth + rng.normal(0, 20, truth.shape), truth, 100.0)
    assert len(matching) > 2900
    assert time.process_time() - start < 5


def test_scores_per_class_and_together_by_hand() -> None:
    truth = picks([[0, 0, 0], [100, 0, 0], [200, 0, 0]], ["ribosome", "ribosome", "apo"])
    found = picks([[10, 0, 0], [205, 0, 0], [400, 0, 0]], ["ribosome", "particle", "apo"])
    overall, by_class = score_picks(found, truth, {"ribosome": 130.0, "apo": 60.0})
    assert overall == DetectionScore(truth=3, picked=3, matched=2)
    assert overall.f1 == pytest.approx(2 / 3)
    assert by_class["ribosome"] == DetectionScore(truth=2, picked=1, matched=1)
    assert (by_class["ribosome"].precision, by_class["ribosome"].recall) == (1.0, 0.5)
    assert by_class["apo"] == DetectionScore(truth=1, picked=1, matched=0)
    assert by_class["particle"] == DetectionScore(truth=0, picked=1, matched=0)
    assert np.isnan(by_class["particle"].recall)
    assert hits(found, truth, {"ribosome": 130.0, "apo": 60.0}).tolist() == [True, True, False]
    assert overall + overall == DetectionScore(6, 6, 4)


def test_nothing_to_find_and_nothing_found() -> None:
    overall, by_class = score_picks(picks([], []), picks([], []), {})
    assert np.isnan(overall.f1)
    assert by_class == {}


def test_precision_recall_by_hand_with_a_tie() -> None:
    precision, recall, score = precision_recall_curve([0.9, 0.5, 0.5, 0.1], [True, True, False, True], truth=4)
    assert precision == pytest.approx([1, 2 / 3, 3 / 4])
    assert recall == pytest.approx([1 / 4, 2 / 4, 3 / 4])
    assert score == pytest.approx([0.9, 0.5, 0.1])
    area = average_precision([0.9, 0.5, 0.5, 0.1], [True, True, False, True], truth=4)
    assert area == pytest.approx(0.25 * (1 + 2 / 3 + 3 / 4))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_average_precision_agrees_with_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, is_hit = [s / 6 for s, _ in rows], [h for _, h in rows]
    if any(is_hit):
        expected = average_precision_score(is_hit, scores)
        assert average_precision(scores, is_hit, sum(is_hit)) == pytest.approx(expected)
        assert average_precision(scores, is_hit, 2 * sum(is_hit)) == pytest.approx(expected / 2)


def test_average_precision_without_picks_or_truth() -> None:
    assert average_precision([], [], 3) == 0.0
    assert np.isnan(average_precision([], [], 0))
