from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from cryosiam.evaluation import f1_per_class, knn_f1, mlp_f1


def clusters(
    seed: int, per_run: int, species: int, runs: int, noise: float
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return noisy directions, one per species, with their names and runs."""
    rng = np.random.default_rng(seed)
    centres = np.eye(species)
    labels = np.tile(np.arange(species), per_run * runs)
    vectors = centres[labels] + rng.normal(0, noise, (len(labels), species))
    return vectors, [f"s{label}" for label in labels], [f"r{i // species % runs}" for i in range(len(labels))]


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_f1_agrees_with_scikit_learn(seed: int, n: int) -> None:
    predicted, truth = np.random.default_rng(seed).integers(0, 4, (2, n))
    expected = f1_score(truth, predicted, labels=range(4), average=None, zero_division=np.nan)
    assert f1_per_class(predicted, truth, 4) == pytest.approx(expected, nan_ok=True)


def test_nearest_neighbour_by_hand_looks_at_other_tomograms_only() -> None:
    vectors = [[1, 0], [0.9, 0.1], [0, 1], [2, 0.1], [0.1, 3], [0.2, 5]]
    names = ["a", "b", "b", "a", "b", "b"]
    runs = ["one", "one", "one", "two", "two", "two"]
    # Run one: [1, 0] is next to a, [0.9, 0.1] next to a, [0, 1] next to b. Run two: [2, 0.1] is next to a.
    found = knn_f1(vectors, names, runs)
    assert found.names == ("a", "b")
    assert found.count.tolist() == [2, 4]
    # a: 2 found, 1 wrong (a b taken for a), none missed; b: 3 found, 1 missed.
    assert found.f1 == pytest.approx([2 * 2 / (2 * 2 + 1), 2 * 3 / (2 * 3 + 1)])
    assert found.mean == pytest.approx((4 / 5 + 6 / 7) / 2)


def test_nearest_neighbour_agrees_with_scikit_learn() -> None:
    vectors, names, runs = clusters(3, 30, 4, 2, 0.6)
    label, run = np.array(names), np.array(runs)
    predicted = np.empty(len(label), dtype=label.dtype)
    for held_out in ("r0", "r1"):
        model = KNeighborsClassifier(1, metric="cosine").fit(vectors[run != held_out], label[run != held_out])
        predicted[run == held_out] = model.predict(vectors[run == held_out])
    expected = f1_score(label, predicted, labels=[f"s{i}" for i in range(4)], average=None)
    assert knn_f1(vectors, names, runs).f1 == pytest.approx(expected)


def test_most_neighbours_decide_and_of_a_tie_the_nearest() -> None:
    angles = np.radians([0, 10, 20, 30, 5, 5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    runs = ["known"] * 4 + ["asked"] * 2
    # Of the three nearest to 5 degrees two are b, of the two nearest one each: a at 0 degrees is put first.
    names = ["a", "b", "b", "a", "b", "b"]
    by_three = knn_f1(vectors, names, runs, neighbours=3)
    vectors[4:] = [[np.cos(np.radians(4)), np.sin(np.radians(4))]] * 2
    by_two = knn_f1(vectors, names, runs, neighbours=2)
    # The four known ones are all taken for b, as the two others are. By three the two are found; by two they are not.
    assert by_three.f1[1] == pytest.approx(2 * 4 / (2 * 4 + 2))
    assert by_two.f1[1] == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))


def test_both_classifiers_tell_clear_clusters_apart_and_fail_on_noise() -> None:
    vectors, names, runs = clusters(5, 20, 3, 2, 0.05)
    shuffled = np.random.default_rng(0).permutation(vectors)
    for classify in (knn_f1, mlp_f1):
        assert classify(vectors, names, runs).mean == 1.0
        assert classify(shuffled, names, runs).mean < 0.6


def test_one_tomogram_is_halved_and_the_same_every_time() -> None:
    vectors, names, _ = clusters(7, 11, 3, 1, 0.4)
    runs = ["only"] * len(names)
    for classify in (knn_f1, mlp_f1):
        first = classify(vectors, names, runs)
        assert first.count.sum() == len(names)
        assert classify(vectors, names, runs).f1.tolist() == first.f1.tolist()


def test_a_species_in_one_tomogram_only_cannot_be_learnt_and_is_not_in_the_mean() -> None:
    found = knn_f1(np.eye(3)[[0, 1, 0, 1, 2]], ["a", "b", "a", "b", "c"], ["one", "one", "two", "two", "two"])
    # The one c is taken for a or b.
    assert np.isnan(found.f1[2])
    assert found.mean == pytest.approx((1 + 2 * 2 / (2 * 2 + 1)) / 2)


def test_one_species_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        knn_f1(np.eye(2), ["a", "a"], ["one", "two"])
