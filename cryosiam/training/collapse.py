"""Watch over embeddings: self-supervised networks can learn to map everything to one point or line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SPREAD: Final = 0.05
LEAST_RANK: Final = 2.0
IN_A_ROW: Final = 5
"""Checks below a threshold, one after the other, that mean collapse and not a bad batch."""

ENOUGH_ROWS: Final = 8
"""Fewer embeddings say nothing about their rank."""


@dataclass(frozen=True)
class Health:
    """How far embeddings are from collapse.

    Parameters
    ----------
    spread
        Standard deviation of each dimension of normalised embeddings, times the root of their number: 1 where they lie
        evenly on the sphere, 0 where all are equal (Chen and He 2021, section 4.1).
    effective_rank
        Number of directions in which they differ (Roy and Vetterli 2007).
    rows
        Embeddings measured.
    """

    spread: float
    effective_rank: float
    rows: int

    @property
    def collapsed(self) -> bool:
        """Whether they lie in a point, or on a line."""
        point = self.rows > 1 and self.spread < LEAST_SPREAD
        line = self.rows >= ENOUGH_ROWS and self.effective_rank < LEAST_RANK
        return point or line


def measure_health(embeddings: Tensor) -> Health:
    """Measure embeddings ``(n, d)`` of ``n`` different inputs."""
    unit = F.normalize(embeddings.detach().float(), dim=1)
    centred = unit - unit.mean(dim=0)
    rows, dimensions = centred.shape
    spread = float(centred.square().mean(dim=0).sqrt().mean()) * math.sqrt(dimensions)
    return Health(spread, effective_rank(centred), rows)


def effective_rank(matrix: Tensor) -> float:
    """Return the exponential of the entropy of the normalised singular values (Roy and Vetterli 2007, eq. 4).

    Parameters
    ----------
    matrix
        ``(n, d)``. All zeros have rank 0.
    """
    values = torch.linalg.svdvals(matrix.double())
    total = float(values.sum())
    if total == 0:
        return 0.0
    share = values / total
    return math.exp(float(torch.special.entr(share).sum()))


class CollapseWatch:
    """Counts checks that show collapse."""

    def __init__(self) -> None:
        self._bad = 0

    def sees_collapse(self, health: Health) -> bool:
        """Take note of a check; return whether the last :data:`IN_A_ROW` of them all showed collapse."""
        self._bad = self._bad + 1 if health.collapsed else 0
        return self._bad >= IN_A_ROW
