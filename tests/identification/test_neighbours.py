"""The classifier by nearest references, and the small network; how weights hold either."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from cryosiam.errors import WeightsError
from cryosiam.identification import Classifier, NeighbourClassifier, read_classifier, unit_vectors
from cryosiam.identification.neighbours import choose_references
from cryosiam.identification.network import fit_network


def rings(count: int, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    """Return embeddings of three species, one of them in two places, so that no species mean tells them apart."""
    rng = np.random.default_rng(seed)
    centres = np.eye(16)[:4] - np.eye(16)[4:8] * 0.3
    member = rng.integers(0, 4, count)
    names = np.array(["apo", "ribosome", "vlp", "apo"])
    vectors = centres[member] + 0.12 * rng.normal(size=(count, 16))
    return unit_vectors(vectors), [str(name) for name in names[member]]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_the_likeliest_name_is_that_of_the_nearest_neighbour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, unknown = unit_vectors(rng.normal(size=(60, 8))), unit_vectors(rng.normal(size=(25, 8)))
    names = [str(name) for name in rng.choice(["a", "b", "c"], 60)]
    ours = choose_references(known, names, 60)
    theirs = KNeighborsClassifier(1, metric="cosine").fit(known, names).predict(unknown)
    assert [ours.class_names[one] for one in ours.probabilities(unknown).argmax(axis=1)] == theirs.tolist()


def test_few_references_stand_for_many_examples() -> None:
    vectors, names = rings(900, 0)
    few = choose_references(vectors, names, 6)
    assert np.bincount(few.members).tolist() == [6, 6, 6]
    assert np.linalg.norm(few.references, axis=1) == pytest.approx(np.ones(18), abs=1e-5)
    strangers, truth = rings(300, 1)
    found = few.with_threshold(0.0).classify(strangers)
    assert np.mean(np.array(found.names) == np.array(truth)) > 0.97
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(300))


def test_the_network_names_strangers() -> None:
    model = fit_network(*rings(600, 0), layers=(32, 16))
    strangers, truth = rings(300, 1)
    found = model.with_threshold(0.0).classify(strangers)
    assert np.mean(np.array(found.names) == np.array(truth)) > 0.97
    assert [weight.shape for weight, _ in model.hidden] == [(32, 16), (16, 32)]


def test_the_network_is_the_same_every_time() -> None:
    one, two = (fit_network(*rings(100, 0), layers=(8,), epochs=2, seed=5) for _ in range(2))
    assert one.probabilities(rings(10, 1)[0]) == pytest.approx(two.probabilities(rings(10, 1)[0]))


def test_a_network_agrees_with_its_layers_written_out() -> None:
    rng = np.random.default_rng(0)
    hidden = (rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=5).astype(np.float32))
    weight, bias = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    model = Classifier(("a", "b", "c"), weight, bias, temperature=2.0, hidden=(hidden,))
    x = unit_vectors(rng.normal(size=(7, 4)))
    logits = np.clip(x @ hidden[0].T + hidden[1], 0, None) @ weight.T + bias
    exponential = np.exp(logits / 2)
    assert model.probabilities(x) == pytest.approx(exponential / exponential.sum(axis=1, keepdims=True), abs=1e-5)


@pytest.mark.parametrize("kind", ["neighbours", "network", "linear"])
def test_weights_give_back_what_they_were_given(kind: str) -> None:
    vectors, names = rings(80, 0)
    model = {
        "neighbours": lambda: choose_references(vectors, names, 5).with_threshold(0.3),
        "network": lambda: fit_network(vectors, names, layers=(8, 6), epochs=2).with_temperature(0.7),
        "linear": lambda: Classifier(("a", "b"), vectors[:2], np.zeros(2, np.float32), 0.1, 0.9),
    }[kind]()
    arrays = model.to_arrays()
    assert all(array.dtype == np.float32 for array in arrays.values())
    again = read_classifier(arrays, model.class_names)
    assert type(again) is type(model)
    assert again.probabilities(vectors) == pytest.approx(model.probabilities(vectors))
    assert again.threshold == pytest.approx(model.threshold)


def test_references_that_do_not_fit_are_refused() -> None:
    arrays = choose_references(*rings(40, 0), 3).to_arrays()
    with pytest.raises(WeightsError, match="belong together"):
        read_classifier(arrays, ["apo", "ribosome"])
    with pytest.raises(WeightsError, match="lacks members"):
        read_classifier({name: array for name, array in arrays.items() if name != "members"}, ["a", "b", "c"])
    with pytest.raises(WeightsError, match="not whole"):
        NeighbourClassifier(("a",), np.ones((2, 4), np.float32), np.zeros(3, np.int64))
    with pytest.raises(WeightsError, match="9 dimensions"):
        read_classifier(arrays, ["apo", "ribosome", "vlp"]).classify(np.ones((2, 9)))


def test_layers_that_do_not_fit_are_refused() -> None:
    hidden = (np.ones((5, 4), np.float32), np.ones(5, np.float32))
    with pytest.raises(WeightsError, match="do not fit each other"):
        Classifier(("a", "b"), np.ones((2, 4), np.float32), np.zeros(2, np.float32), hidden=(hidden,))
