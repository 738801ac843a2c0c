from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryosiam.errors import InputError, WeightsError
from cryosiam.identification import (
    UNKNOWN,
    Classifier,
    prototype_classifier,
    unit_vectors,
)

NAMES = ("apo", "ribosome", "vlp")


def embeddings(n: int, seed: int, spread: float = 0.3) -> tuple[NDArray[np.float32], list[str]]:
    centres = np.random.default_rng(99).normal(size=(3, 32))
    rng = np.random.default_rng(seed)
    member = rng.integers(0, 3, n)
    vectors = centres[member] + spread * rng.normal(size=(n, 32))
    return unit_vectors(vectors), [NAMES[m] for m in member]


def test_vector_between_classes_is_unknown() -> None:
    model = prototype_classifier(*embeddings(60, 0), threshold=0.8)
    middle = model.weight[0] + model.weight[1]
    result = model.classify(middle[None])
    assert result.names == (UNKNOWN,)
    assert result.confidence[0] == pytest.approx(0.5, abs=0.02)


def test_restricting_objects_does_not_rename_the_others() -> None:
    model = prototype_classifier(*embeddings(300, 0)).with_threshold(0.5)
    vectors, names = embeddings(100, 2)
    restricted = model.classify(vectors, objects=["ribosome"])
    free = model.classify(vectors)
    expected = [name if name == "ribosome" else UNKNOWN for name in free.names]
    assert list(restricted.names) == expected
    assert "ribosome" in names


def test_in_a_sample_of_nothing_else_every_particle_is_one_of_the_objects() -> None:
    model = prototype_classifier(*embeddings(300, 0)).with_threshold(0.5)
    vectors, _ = embeddings(100, 2)
    free = model.classify(vectors)
    alone = model.classify(vectors, objects=["ribosome", "apo"], nothing_else=True)
    assert set(alone.names) == {"ribosome", "apo"}
    np.testing.assert_allclose(alone.probabilities.sum(axis=1), 1)
    kept = np.array([name in {"ribosome", "apo"} for name in free.names])
    assert np.array(alone.names)[kept].tolist() == np.array(free.names)[kept].tolist()


def test_objects_may_name_unknown_particles_alone() -> None:
    model = prototype_classifier(*embeddings(60, 0))
    assert set(model.classify(embeddings(5, 3)[0], objects=[UNKNOWN]).names) == {UNKNOWN}


def test_unknown_object_names_are_refused() -> None:
    model = prototype_classifier(*embeddings(60, 0))
    with pytest.raises(InputError, match=r"proteasome.*apo, ribosome, vlp"):
        model.classify(np.zeros((0, 32)), objects=["proteasome"])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 50))
def test_length_of_embeddings_does_not_matter(seed: int, factor: float) -> None:
    model = prototype_classifier(*embeddings(60, 0))
    vectors = np.random.default_rng(seed).normal(size=(7, 32))
    assert model.probabilities(vectors * factor) == pytest.approx(model.probabilities(vectors), abs=1e-4)


def test_arrays_round_trip() -> None:
    model = prototype_classifier(*embeddings(100, 0))
    again = Classifier.from_arrays(model.to_arrays(), model.class_names)
    vectors, _ = embeddings(20, 1)
    assert again.probabilities(vectors) == pytest.approx(model.probabilities(vectors))
    assert again.threshold == pytest.approx(model.threshold)
    assert all(array.dtype == np.float32 for array in model.to_arrays().values())


def test_weights_that_do_not_fit_are_refused() -> None:
    arrays = prototype_classifier(*embeddings(60, 0)).to_arrays()
    with pytest.raises(WeightsError, match="belong together"):
        Classifier.from_arrays(arrays, ["one", "two"])
    with pytest.raises(WeightsError, match="bias"):
        Classifier.from_arrays({k: v for k, v in arrays.items() if k != "bias"}, NAMES)
    with pytest.raises(WeightsError, match="16 dimensions"):
        Classifier.from_arrays(arrays, NAMES).classify(np.ones((2, 16)))


def test_no_embeddings_give_no_names() -> None:
    result = prototype_classifier(*embeddings(60, 0)).classify(np.zeros((0, 32), np.float32))
    assert result.names == ()
