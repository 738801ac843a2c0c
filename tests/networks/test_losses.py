"""Losses against hand-worked cases."""

import math

import pytest
import torch

from cryosiam.networks.losses import denoising_loss, generalized_dice_loss, instance_loss, semantic_loss


def test_denoising_loss_is_the_mean_square() -> None:
    assert denoising_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == pytest.approx(2.5)


def test_generalized_dice_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1]).reshape(1, 1, 1, 4)
    # Every voxel half and half: overlap of class c is n_c / 2, its total n_c + 2.
    logits = torch.zeros(1, 2, 1, 1, 4)
    w0, w1 = 1 / 9, 1.0
    expected = 1 - 2 * (w0 * 1.5 + w1 * 0.5) / (w0 * 5 + w1 * 3)
    assert generalized_dice_loss(logits, labels).item() == pytest.approx(expected)


def test_generalized_dice_is_zero_for_the_truth_even_when_a_class_is_absent() -> None:
    labels = torch.tensor([0, 0, 1, 1]).reshape(1, 1, 1, 4)
    logits = torch.full((1, 3, 1, 1, 4), -50.0).scatter(1, labels[:, None], 50.0)
    assert generalized_dice_loss(logits, labels).item() == pytest.approx(0.0, abs=1e-6)


def test_semantic_loss_of_ignorance_is_the_entropy_plus_dice() -> None:
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.int64)
    logits = torch.zeros(1, 6, 2, 2, 2)
    dice = generalized_dice_loss(logits, labels).item()
    assert semantic_loss(logits, labels).item() == pytest.approx(math.log(6) + dice, rel=1e-5)


def test_instance_loss_adds_its_three_terms() -> None:
    ones, zeros = torch.ones(1, 1, 1, 1, 2), torch.zeros(1, 1, 1, 1, 2)
    predicted = {"distance": 2 * ones, "boundary": zeros, "foreground": zeros}
    target = {"distance": zeros, "boundary": ones, "foreground": ones}
    assert instance_loss(predicted, target).item() == pytest.approx(4 + 2 * math.log(2), rel=1e-5)
