"""Offsets of the semantic logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from cryosiam.evaluation import dice_per_class
from cryosiam.networks.config import DenseConfig, EncoderConfig
from cryosiam.networks.dense import DenseNetwork
from cryosiam.training.class_offsets import LEAST_GAIN, STEP, add_class_offsets, fit_class_offsets


def calibrated_voxels(seed: int, count: int = 20_000, classes: int = 3):
    """Labels drawn from the very probabilities that the logits state; the last class is rare and uncertain."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (count, classes)) + np.array([2.0] + [0.0] * (classes - 1))
    odds = np.exp(log_softmax(logits, axis=1)).cumsum(axis=1)
    return logits, (rng.random(count)[:, None] > odds).sum(axis=1).clip(max=classes - 1)


def mean_dice(logits, labels, offsets) -> float:
    predicted = (np.float32(logits) + np.float32(offsets)).argmax(axis=1)
    dice = dice_per_class(predicted[:, None, None], labels[:, None, None], logits.shape[1])
    return float(dice[np.bincount(labels, minlength=len(dice)) > 0].mean())


def test_uncertain_classes_are_raised_and_dice_with_them():
    logits, labels = calibrated_voxels(1)
    offsets = fit_class_offsets([(logits, labels)])
    held_out = calibrated_voxels(2)
    assert offsets[0] == 0
    assert (offsets[1:] > 0.5).all()
    assert mean_dice(*held_out, offsets) > mean_dice(*held_out, np.zeros(3)) + 0.05


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.integers(-8, 8))
def test_offsets_undo_a_shift_of_the_logits(seed, shift):
    """Logits that are right but for a constant are mended; where none is needed, none is added."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 3000)
    logits = 6.0 * np.eye(3)[labels] + rng.normal(0, 0.1, (3000, 3))
    assert (fit_class_offsets([(logits, labels)]) == 0).all()
    logits[:, 2] += 1.5 * shift
    offsets = fit_class_offsets([(logits, labels)])
    assert mean_dice(logits, labels, offsets) >= mean_dice(logits, labels, np.zeros(3))
    if abs(1.5 * shift) <= 8:
        assert mean_dice(logits, labels, offsets) > 1 - LEAST_GAIN


def test_no_single_step_is_better_than_what_is_found():
    logits, labels = calibrated_voxels(3, classes=4)
    offsets = fit_class_offsets([(logits, labels)])
    found = mean_dice(logits, labels, offsets)
    for label in (1, 2, 3):
        for step in (-STEP, STEP):
            other = offsets.copy()
            other[label] += step
            assert mean_dice(logits, labels, other) <= found + LEAST_GAIN + 1e-9


def test_tomograms_count_alike_and_a_class_they_lack_does_not_count():
    logits, labels = calibrated_voxels(4)
    lacking = labels < 2
    offsets = fit_class_offsets([(logits[lacking], labels[lacking])])
    twice = fit_class_offsets([(logits[lacking], labels[lacking])] * 2)
    np.testing.assert_array_equal(offsets, twice)
    # Raising a class that is not there would take voxels from the others.
    assert offsets[2] < 0


def test_offsets_go_into_the_network():
    config = DenseConfig(
        encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)),
        fpn_channels=4,
        embedding_channels=4,
        head_channels=(4,),
    )
    network = DenseNetwork(config).eval()
    volume = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = network(volume)
        offsets = np.arange(config.classes) / 4
        add_class_offsets(network, offsets)
        after = network(volume)
    shift = after["semantic"] - before["semantic"]
    np.testing.assert_allclose(shift, np.broadcast_to(offsets[None, :, None, None, None], shift.shape), atol=1e-5)
    assert torch.equal(after["foreground"], before["foreground"])


def test_what_does_not_fit_is_refused():
    network = DenseNetwork(DenseConfig(encoder=EncoderConfig(planes=(4, 8))), heads=("denoise",))
    with pytest.raises(ValueError, match="no semantic head"):
        add_class_offsets(network, np.zeros(6))
    with pytest.raises(ValueError, match="one tomogram"):
        fit_class_offsets([])
    with pytest.raises(ValueError, match="shapes"):
        fit_class_offsets([(np.zeros((4, 3)), np.zeros(5))])
