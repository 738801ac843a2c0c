"""Offsets of the semantic logits that make the arg-max agree best with the truth, in Dice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from cryosiam.networks.dense import DenseNetwork

REACH: Final = 3.0
"""Largest offset, in logits, that is tried."""

STEP: Final = 0.125
"""Distance between offsets that are tried; finer ones change Dice by less than its error."""

LEAST_GAIN: Final = 5e-4
"""An offset that gains less is left as it was: that is chance."""

_ROUNDS: Final = 6


def fit_class_offsets(tomograms: Sequence[tuple[ArrayLike, ArrayLike]]) -> NDArray[np.float64]:
    """Find what to add to each class' logit so that the mean Dice is best.

    The class of largest probability is the best guess voxel by voxel, but not for Dice: where a class is uncertain,
    as small particles in noise are, its voxels are rarely the most probable one, and it comes out too small (Lipton,
    Elkan, Naryanaswamy 2014: for the best F1, the threshold on the probability is half that F1). Offsets are found
    class by class, over and over, each the best of a grid.

    Parameters
    ----------
    tomograms
        Of each, logits ``(n, classes)`` and true labels ``(n,)`` of voxels drawn evenly from all of it. These must be
        tomograms that nothing is measured on afterwards.

    Returns
    -------
    NDArray
        ``(classes,)``, 0 for the background.

    Raises
    ------
    ValueError
        If there are no voxels, or shapes do not fit.
    """
    samples = [_checked(logits, labels) for logits, labels in tomograms]
    if not samples:
        raise ValueError("class offsets need the voxels of one tomogram or more")
    grid = np.linspace(-REACH, REACH, round(2 * REACH / STEP) + 1)
    zero = len(grid) // 2
    offsets = np.zeros(samples[0][0].shape[1])
    for _ in range(_ROUNDS):
        before = offsets.copy()
        for label in range(1, len(offsets)):
            scores = np.mean([_dice_by_offset(*sample, offsets, label, grid) for sample in samples], axis=0)
            now = zero + round(offsets[label] / STEP)
            best = int(scores.argmax())
            if scores[best] > scores[now] + LEAST_GAIN:
                offsets[label] = grid[best]
        if np.array_equal(offsets, before):
            break
    return offsets


def add_class_offsets(network: DenseNetwork, offsets: ArrayLike) -> None:
    """Fold offsets into the bias of the semantic head, so that weights carry them and inference needs to know nothing.

    Parameters
    ----------
    network
        Changed in place.
    offsets
        ``(classes,)`` from `fit_class_offsets`.

    Raises
    ------
    ValueError
        If the network has no semantic head, or another number of classes.
    """
    if "semantic" not in network.heads:
        raise ValueError("the network has no semantic head to add class offsets to")
    head = network.task_heads["semantic"]
    last: nn.Conv3d = head.layers[-1]  # type: ignore[index, assignment]
    if last.bias is None:
        raise ValueError("the semantic head has no bias to fold class offsets into")
    added = torch.as_tensor(np.asarray(offsets), dtype=last.bias.dtype)
    if added.shape != (network.config.classes,):
        raise ValueError(f"{network.config.classes} classes need as many offsets, not {tuple(added.shape)}")
    # The last convolution gives each class one value for every voxel of a cell, side by side.
    with torch.no_grad():
        last.bias += added.repeat_interleave(len(last.bias) // len(added)).to(last.bias.device)


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    values, truth = np.asarray(logits, np.float32), np.asarray(labels, np.int64)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(truth):
        raise ValueError(f"logits of n voxels and their labels have shapes (n, classes) and (n,), not {values.shape}")
    return values, truth


def _dice_by_offset(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    offsets: NDArray[np.float64],
    label: int,
    grid: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the mean Dice over the classes present for every offset of one class, ``(len(grid),)``."""
    classes = len(offsets)
    others = logits + offsets.astype(np.float32)
    others[:, label] = -np.inf
    rival = others.argmax(axis=1)
    needed = np.take_along_axis(others, rival[:, None], axis=1)[:, 0] - logits[:, label]
    # Voxels go from their rival to the class at the first offset above what they need.
    first = np.searchsorted(grid, needed, side="right")
    joint = (first * classes + rival) * classes + labels
    moved = np.bincount(joint, minlength=(len(grid) + 1) * classes**2).reshape(-1, classes, classes)
    gone = moved.cumsum(axis=0)[:-1]
    tables = moved.sum(axis=0)[None] - gone
    tables[:, label] += gone.sum(axis=1)
    shared = np.diagonal(tables, axis1=1, axis2=2)
    truth = tables.sum(axis=1)
    dice = 2 * shared / np.maximum(tables.sum(axis=2) + truth, 1)
    return np.asarray(dice[:, truth[0] > 0].mean(axis=1), np.float64)
