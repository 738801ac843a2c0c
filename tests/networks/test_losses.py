"""Losses against hand-worked cases, and the rule that a voxel of unknown label teaches nothing."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cryosiam.networks.losses import (
    denoising_loss,
    generalized_dice_loss,
    instance_loss,
    join_background,
    mean_dice_loss,
    sample_loss,
    semantic_loss,
)

SHAPE = (2, 3, 4, 5)
CLASSES = 4


def test_denoising_loss_is_the_mean_square() -> None:
    assert denoising_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == pytest.approx(2.5)


def test_denoising_loss_of_the_known_half() -> None:
    known = torch.tensor([False, True])
    assert denoising_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]), known).item() == pytest.approx(4.0)


def test_generalized_dice_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1]).reshape(1, 1, 1, 4)
    # Every voxel half and half: overlap of class c is n_c / 2, its total n_c + 2.
    logits = torch.zeros(1, 2, 1, 1, 4)
    w0, w1 = 1 / 9, 1.0
    expected = 1 - 2 * (w0 * 1.5 + w1 * 0.5) / (w0 * 5 + w1 * 3)
    assert generalized_dice_loss(logits, labels).item() == pytest.approx(expected)


def test_mean_dice_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1]).reshape(1, 1, 1, 4)
    assert mean_dice_loss(torch.zeros(1, 3, 1, 1, 4), labels).item() == pytest.approx(
        1 - ((2 * 1.0) / (3 + 4 / 3) + (2 / 3) / (1 + 4 / 3)) / 2
    )


@pytest.mark.parametrize("dice", [generalized_dice_loss, mean_dice_loss])
def test_dice_is_zero_for_the_truth_even_when_a_class_is_absent(dice: Callable[[Tensor, Tensor], Tensor]) -> None:
    labels = torch.tensor([0, 0, 1, 1]).reshape(1, 1, 1, 4)
    logits = torch.full((1, 3, 1, 1, 4), -50.0).scatter(1, labels[:, None], 50.0)
    assert dice(logits, labels).item() == pytest.approx(0.0, abs=1e-6)


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


def losses_of(predicted: Tensor, labels: Tensor, known: Tensor | None) -> dict[str, Tensor]:
    """Every loss of random predictions ``(b, c, z, y, x)``, its first channel standing for the one-channel heads."""
    single, truth = predicted[:, :1], (labels[:, None] > 0).float()
    mask = None if known is None else known[:, None]
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    heads = dict.fromkeys(("distance", "boundary", "foreground"), single)
    targets = dict.fromkeys(heads, truth)
    return {
        "denoise": denoising_loss(single, truth, mask),
        "sample": sample_loss(single, truth, mask),
        "mean": semantic_loss(predicted, labels, weights, mean_dice_loss, known),
        "generalized": semantic_loss(predicted, labels, weights, generalized_dice_loss, known),
        "instance": instance_loss(heads, targets, mask),
    }


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    predicted = 3 * torch.randn(SHAPE[0], CLASSES, *SHAPE[1:], generator=generator)
    return predicted, torch.randint(0, CLASSES, SHAPE, generator=generator)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_an_unknown_voxel_teaches_nothing(seed: int, share: float) -> None:
    predicted, labels = drawn(seed)
    known = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed + 1)) < share
    predicted.requires_grad_()
    losses = losses_of(predicted, labels, known)
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, predicted, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert not gradient[~known[:, None].expand_as(gradient)].any()
    with torch.no_grad():
        other, others = torch.where(known[:, None], predicted, 7.0), torch.where(known, labels, 3)
        for name, loss in losses_of(other, others, known).items():
            torch.testing.assert_close(loss, losses[name].detach())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_knowing_everything_is_the_same_as_no_mask(seed: int) -> None:
    predicted, labels = drawn(seed)
    masked = losses_of(predicted, labels, torch.ones(SHAPE, dtype=torch.bool))
    for name, loss in losses_of(predicted, labels, None).items():
        torch.testing.assert_close(masked[name], loss)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_background_stands_for_what_nobody_annotated(seed: int) -> None:
    predicted, _ = drawn(seed)
    hidden = torch.tensor([[False, True, False, True], [False, False, False, False]])
    joined = torch.softmax(join_background(predicted, hidden), dim=1)
    plain = torch.softmax(predicted, dim=1)
    torch.testing.assert_close(joined[1], plain[1])
    torch.testing.assert_close(joined[0, 0], plain[0, 0] + plain[0, 1] + plain[0, 3])
    torch.testing.assert_close(joined[0, 2], plain[0, 2])
    assert not joined[0, [1, 3]].any()


def test_a_hidden_class_is_not_pushed_down() -> None:
    """Between background and a hidden class nothing is learnt; an annotated class does lose its probability."""
    logits = torch.zeros(1, 3, 1, 1, 4, requires_grad=True)
    labels = torch.zeros(1, 1, 1, 4, dtype=torch.int64)
    loss = semantic_loss(join_background(logits, torch.tensor([[False, True, False]])), labels, None, mean_dice_loss)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:, 0], logits.grad[:, 1])
    assert (logits.grad[:, 2] > 0).all()
