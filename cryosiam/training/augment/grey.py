"""Grey values changed as little as keeps the signal of a noisy patch alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


def augment_grey(patch: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change grey values only: low-pass, high-pass or noise, then gain and offset.

    The ranges are those of the thesis where they leave the signal of a noisy volume alive: low-pass sigma 0.5 to 1
    voxel, difference of Gaussians, additive noise of 0.1 to 0.5 standard deviations.
    """
    choice = rng.random()
    if choice < 0.15:
        patch = _spread_as(patch, ndimage.gaussian_filter(patch, rng.uniform(0.4, 1.0)))
    elif choice < 0.25:
        patch = _spread_as(patch, patch - ndimage.gaussian_filter(patch, rng.uniform(8, 20)))
    elif choice < 0.4:
        patch = patch + rng.normal(0, rng.uniform(0.1, 0.5), patch.shape).astype(np.float32)
    return (patch * rng.uniform(0.85, 1.15) + rng.uniform(-0.15, 0.15)).astype(np.float32)


def _spread_as(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``after`` with the spread of ``before``: a patch tells by it how much there is in it."""
    return after * np.float32(before.std() / max(float(after.std()), 1e-3))
