"""Ranges that augmentations draw from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    import numpy as np


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low <= high):
        raise ValueError(f"a range goes from a number of 0 or more to one not smaller, not from {low:g} to {high:g}")
    return limits


def _share(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[1] > 1:
        raise ValueError(f"a share is 1 at most, not {limits[1]:g}")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Smallest and largest value, both 0 or more; drawn evenly."""

ShareRange = Annotated[Range, AfterValidator(_share)]
"""A range of shares, from 0 to 1."""


def drawn(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw evenly from a range."""
    return float(rng.uniform(*limits))
