"""The classifier that ships: chosen, calibrated and measured on particles that nothing learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryosiam.errors import InputError
from cryosiam.identification import unit_vectors
from cryosiam.networks.config import SUBTOMOGRAM_PRESETS
from cryosiam.networks.subtomogram import SubtomogramNetwork
from cryosiam.training.classifier import (
    ACCURACY,
    MOST_REFERENCE_BYTES,
    Embedded,
    best_classifier,
    held_out_parts,
    train_classifier,
)
from cryosiam.training.cubes import StoredCubes
from cryosiam.training.particles import Particles
from cryosiam.training.recipe import OptimiserRecipe, read_recipe
from cryosiam.training.subtomogram_export import write_network
from cryosiam.weights import load_subtomogram
from cryosiam.weights.verify import verify_weights


def embedded(count: int, seed: int, spread: float = 0.25, unnamed: float = 0.1) -> Embedded:
    centres = np.random.default_rng(7).normal(size=(5, 16))
    rng = np.random.default_rng(seed)
    member = rng.integers(0, 5, count)
    vectors = unit_vectors(unit_vectors(centres)[member] + spread * rng.normal(size=(count, 16)))
    names = np.array(["apo", "p97", "ribosome", "tric", "vlp"])[member]
    strange = rng.random(count) < unnamed
    vectors[strange] = unit_vectors(rng.normal(size=(int(strange.sum()), 16)))
    return Embedded(vectors, np.where(strange, "", names))


def test_names_are_as_often_right_as_is_promised() -> None:
    told: list[str] = []
    # Few of those that tune are false particles, many of those that are found.
    tuning, found, test = (
        embedded(600, 1, unnamed=0.02),
        embedded(1500, 3, unnamed=0.75),
        embedded(3000, 2, unnamed=0.75),
    )
    classifier, figures = best_classifier(embedded(800, 0), tuning, found, test, told.append)
    assert figures["accuracy_of_named"] == pytest.approx(ACCURACY, abs=0.05)
    assert figures["calibration_error"] < 0.05
    assert figures["calibration_error"] <= figures["calibration_error_before"]
    assert figures["top1_accuracy"] == max(figures["top1_neighbours"], figures["top1_network"])
    assert classifier.class_names == ("apo", "p97", "ribosome", "tric", "vlp")
    assert len(told) == 2


def test_a_rare_species_is_not_learnt_and_counts_against_the_classifier() -> None:
    known, test = embedded(400, 0, unnamed=0.0), embedded(400, 2, unnamed=0.0)
    rare = Embedded(known.vectors[:3], np.array(["rare"] * 3))
    more = Embedded(np.concatenate([known.vectors, rare.vectors]), np.concatenate([known.names, rare.names]))
    classifier, _ = best_classifier(more, embedded(300, 1), embedded(300, 1), test, lambda _: None)
    assert "rare" not in classifier.class_names
    strange = Embedded(test.vectors, np.where(test.names == "vlp", "rare", test.names))
    _, figures = best_classifier(more, embedded(300, 1), embedded(300, 1), strange, lambda _: None)
    assert figures["top1_accuracy"] == pytest.approx((test.names != "vlp").mean(), abs=0.1)


def test_too_little_to_learn_or_to_calibrate_with_is_refused() -> None:
    few = embedded(400, 0)
    one = few.select(few.names == "apo")
    with pytest.raises(InputError, match="two or more have 8 particles"):
        best_classifier(one, few, few, few, lambda _: None)
    with pytest.raises(InputError, match="held out"):
        best_classifier(few, few.select(few.names == ""), few, few, lambda _: None)
    with pytest.raises(InputError, match="held out"):
        best_classifier(few, few, few.select(few.names == ""), few, lambda _: None)


def particles(count: int = 96) -> Particles:
    """Balls, rods and plates in six specimens."""
    values = np.zeros((count, 2, 32, 32, 32), np.float16)
    values[::3, :, 12:20, 12:20, 12:20] = -1
    values[1::3, :, 14:18, 14:18, 4:28] = -1
    values[2::3, :, 8:24, 15:17, 8:24] = -1
    names = tuple(("ball", "rod", "plate")[index % 3] for index in range(count))
    sources = tuple(f"training-{index * 12 // count:05d}" for index in range(count))
    return Particles(StoredCubes.of(values), names, sources, np.zeros(count, np.int64), np.full(count, 500), {})


def test_threshold_and_figures_come_from_different_tomograms() -> None:
    held_out, strangers = particles(24), particles(48)
    tuned, found, test = held_out_parts(held_out, strangers)
    assert tuned is held_out
    assert sorted({*found.sources, *test.sources}) == sorted(set(strangers.sources))
    assert not set(found.sources) & set(test.sources)
    assert len(found) + len(test) == len(strangers)


def test_without_tomograms_enough_the_held_out_specimens_stand_in() -> None:
    held_out, strangers = particles(24), particles(48)
    tuned, found, test = held_out_parts(held_out, None)
    assert found is tuned
    assert not set(tuned.sources) & set(test.sources)
    one = strangers.select(np.array([source == strangers.sources[0] for source in strangers.sources]))
    tuned, found, test = held_out_parts(held_out, one)
    assert (tuned is held_out, found is held_out, test is one) == (True, True, True)


def test_weights_get_a_classifier_that_names_and_passes_their_check(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe, whole = read_recipe("light"), particles()
    optimiser = OptimiserRecipe(steps=1, batch=4, learning_rate=0.001)
    network = SubtomogramNetwork(SUBTOMOGRAM_PRESETS["light"])
    bare = write_network(tmp_path, network, recipe, whole, "contrastive", optimiser, 0.5)
    assert bare.species == ()
    assert "12 simulated specimens" in bare.training.data
    card = train_classifier(whole, tmp_path, lambda _: None)
    assert card.species == ("ball", "plate", "rod")
    assert card.training == bare.training
    assert card.accuracy["top1_accuracy"] > 0.9
    assert 0 <= card.accuracy["calibration_error"] <= 1
    (verdict,) = verify_weights(str(tmp_path))
    assert verdict.fault is None
    stored = load_subtomogram(tmp_path).classifier
    assert sum(array.nbytes for array in stored.values()) < MOST_REFERENCE_BYTES
    again = train_classifier(whole, tmp_path, lambda _: None, strangers=whole)
    assert again.species == card.species
