from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.metrics import fbeta_score

from cryosiam.domain import Picks
from cryosiam.evaluation import BetaCounts, czii_score, one_to_one_counts, public_counts

CZII = Path(__file__).parents[3] / "shared" / "data" / "benchmark" / "czii_TS_5_4" / "Picks"
RADII = {
    "apo-ferritin": 60.0,
    "beta-amylase": 65.0,
    "beta-galactosidase": 90.0,
    "ribosome": 150.0,
    "thyroglobulin": 130.0,
    "virus-like-particle": 135.0,
}


def picks(positions: NDArray[np.float64], names: list[str], run: str = "one") -> Picks:
    return Picks(run, np.asarray(positions, np.float64).reshape(-1, 3), np.ones(len(names)), tuple(names))


def on_a_line(*x: float) -> NDArray[np.float64]:
    return np.array([[value, 0.0, 0.0] for value in x])


def test_f_beta_agrees_with_scikit_learn() -> None:
    # 3 hits, 5 picks too many, 1 particle missed.
    truth, predicted = [1] * 4 + [0] * 5, [1, 1, 1, 0] + [1] * 5
    assert BetaCounts(3, 5, 1).f_beta() == pytest.approx(fbeta_score(truth, predicted, beta=4))
    assert BetaCounts(3, 5, 1).f_beta() == pytest.approx(17 * (3 / 8) * (3 / 4) / (16 * 3 / 8 + 3 / 4))
    assert BetaCounts(0, 5, 4).f_beta() == 0.0
    assert BetaCounts().f_beta() == 0.0


def test_two_picks_on_one_particle_are_one_hit_and_one_too_many_in_both_ways() -> None:
    assert public_counts(on_a_line(1, -1), on_a_line(0), 5.0) == BetaCounts(1, 1, 0)
    assert one_to_one_counts(on_a_line(1, -1), on_a_line(0), 5.0) == BetaCounts(1, 1, 0)


def test_one_pick_between_two_particles_finds_both_by_the_public_scorer_only() -> None:
    # The public scorer counts particles that are near any pick, so it has more hits than picks: -1 too many.
    assert public_counts(on_a_line(5), on_a_line(0, 10), 5.0) == BetaCounts(2, -1, 0)
    assert one_to_one_counts(on_a_line(5), on_a_line(0, 10), 5.0) == BetaCounts(1, 0, 1)


def test_the_distance_itself_is_a_hit_and_truth_given_twice_counts_once() -> None:
    assert public_counts(on_a_line(5), on_a_line(0, 0), 5.0) == BetaCounts(1, 0, 0)
    assert public_counts(on_a_line(5.001), on_a_line(0), 5.0) == BetaCounts(0, 1, 1)


def test_nothing_picked_and_nothing_to_find() -> None:
    none = np.zeros((0, 3))
    assert public_counts(none, on_a_line(0), 5.0) == one_to_one_counts(none, on_a_line(0), 5.0) == BetaCounts(0, 0, 1)
    assert public_counts(on_a_line(0), none, 5.0) == one_to_one_counts(on_a_line(0), none, 5.0) == BetaCounts(0, 1, 0)


@given(st.integers(0, 2**31), st.integers(0, 15), st.integers(0, 15))
def test_counts_agree_with_brute_force(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    picked, truth = rng.uniform(0, 50, (n, 3)), rng.uniform(0, 50, (m, 3))
    near = cdist(picked, truth) <= 15.0
    found = int(near.any(axis=0).sum()) if n and m else 0
    assert public_counts(picked, truth, 15.0) == BetaCounts(found, n - found, m - found)
    rows, columns = linear_sum_assignment(~near)
    pairs = int(near[rows, columns].sum())
    assert one_to_one_counts(picked, truth, 15.0) == BetaCounts(pairs, n - pairs, m - pairs)
    assert pairs <= found


def test_score_by_hand_pools_tomograms_and_weighs_classes() -> None:
    names = ["ribosome", "thyroglobulin", "beta-amylase"]
    truth = [picks(on_a_line(0, 1000, 2000), names), picks(on_a_line(0), ["ribosome"], "two")]
    found = [picks(on_a_line(10, 1000, 9000, 5000), ["ribosome", "apo-ferritin", "thyroglobulin", "unheard-of"])]
    found.append(picks(on_a_line(70), ["ribosome"], "two"))
    score = czii_score(zip(found, truth, strict=True), RADII)
    # Ribosomes of both tomograms hit; the thyroglobulin pick is far off; beta-amylase has no weight.
    assert score.by_class == {"beta-amylase": 0.0, "ribosome": 1.0, "thyroglobulin": 0.0}
    assert score.weights == {"beta-amylase": 0.0, "ribosome": 1.0, "thyroglobulin": 2.0}
    assert score.score == pytest.approx(1 / 3)
    plain = czii_score(zip(found, truth, strict=True), RADII, weights={})
    assert plain.score == pytest.approx(1 / 3)
    assert plain.weights["beta-amylase"] == 1.0


def test_score_without_a_class_that_counts_is_not_a_number() -> None:
    only = picks(on_a_line(0), ["beta-amylase"])
    assert np.isnan(czii_score([(only, only)], RADII).score)


@pytest.mark.skipif(not CZII.is_dir(), reason="the picks of the CZII challenge are not there")
def test_real_annotations_score_one_against_themselves_and_less_when_moved() -> None:
    positions, names = [], []
    for path in sorted(CZII.glob("*.json")):
        for point in json.loads(path.read_text())["points"]:
            positions.append([point["location"][axis] for axis in "xyz"])
            names.append(path.stem)
    truth = picks(np.array(positions), names, "TS_5_4")
    assert len(truth) == 140
    for one_to_one in (False, True):
        assert czii_score([(truth, truth)], RADII, one_to_one=one_to_one).score == pytest.approx(1.0)
        moved = picks(truth.positions_angstrom + np.array([40.0, 0, 0]), names)
        by_class = czii_score([(moved, truth)], RADII, one_to_one=one_to_one).by_class
        # 40 Å is beyond half the radius of apo-ferritin (30 Å) and beta-amylase (32.5 Å) only.
        assert by_class["apo-ferritin"] < 0.1
        assert by_class["ribosome"] == by_class["thyroglobulin"] == 1.0
