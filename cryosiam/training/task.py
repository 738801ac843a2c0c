"""What a training stage hands to the trainer, and what it gets its patches from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Batch = dict[str, Tensor]
"""Named tensors, the first axis counts patches; see :func:`cryosiam.training.patches.cut_patch` for the names."""

Batches = Callable[[int], Batch]
"""Gives batch ``n``; it depends on ``n`` alone, so that training resumes where it was."""


class PatchSource(Protocol):
    """Where patches come from: specimens imaged without end, or tomograms with labels."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        """Return batches of ``batch`` patches of ``size_zyx`` voxels, drawn with ``seed``."""
        ...


@dataclass(frozen=True)
class TrainingTask:
    """One stage of training: a model, its data and its losses.

    Parameters
    ----------
    name
        Of the stage; also the name of its folder.
    model
        What is trained, with its initial weights.
    batches
        Training data.
    losses
        Named losses of a batch; ``total`` is minimised, the others are logged.
    frozen
        Names of submodules that do not learn; their batch norms keep their statistics.
    frozen_statistics
        Whether all batch norms keep their statistics, so that the model learns as it is used.
    embeddings
        Gives ``(n, d)`` embeddings of a batch, where training is to stop if they collapse to a point or a line.
    validate
        Gives figures of the averaged model on held-out data; ``score`` is maximised, the others are logged.
    half_precision
        Whether the model may run in bfloat16.
    """

    name: str
    model: nn.Module
    batches: Batches
    losses: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    frozen: tuple[str, ...] = ()
    frozen_statistics: bool = False
    embeddings: Callable[[nn.Module, Batch], Tensor] | None = None
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None
    half_precision: bool = True
