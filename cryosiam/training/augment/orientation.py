"""Patches mirrored and turned by quarters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def orient(arrays: dict[str, NDArray[np.generic]], rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Flip along each axis and turn by quarters about z, all arrays alike.

    A quarter turn moves the tilt axis from y to x, so the network meets the missing wedge along both.
    """
    flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
    quarters = int(rng.integers(4))
    return {name: np.rot90(np.flip(array, flips), quarters, axes=(1, 2)) for name, array in arrays.items()}
