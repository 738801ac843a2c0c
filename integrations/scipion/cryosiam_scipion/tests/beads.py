"""Tomograms of dark balls at known places, so that the right answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import mrcfile
import numpy as np
from numpy.typing import NDArray

VOXEL_SIZE = 10.0
RADII = (4.0, 7.0)
"""In voxels, in turn."""

SIZES = {"bead_a": (48, 80, 72), "bead_b": (45, 81, 75)}
"""Voxels along z, y, x: no two alike, odd and even, and the tomograms of different size."""


class Beads(NamedTuple):
    """Balls in a tomogram: centres x, y, z and radii, in voxels."""

    centres: NDArray[np.float64]
    radii: NDArray[np.float64]


def write_tomograms(folder: Path) -> dict[str, Beads]:
    """Write the tomograms of `SIZES` and return what is in them."""
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _write(folder / f"{name}.mrc", size, seed) for seed, (name, size) in enumerate(SIZES.items())}


def _write(path: Path, size: tuple[int, int, int], seed: int) -> Beads:
    rng = np.random.default_rng(seed)
    beads = _places(rng, size)
    volume = rng.normal(0.0, 0.3, size).astype(np.float32)
    z, y, x = np.indices(size)
    for centre, radius in zip(beads.centres, beads.radii):
        distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
        # A soft edge, so that the centre is known to a fraction of a voxel.
        volume -= (6.0 * np.clip(radius + 0.5 - distance, 0.0, 1.0)).astype(np.float32)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(volume)
        file.voxel_size = VOXEL_SIZE
    return beads


def _places(rng: np.random.Generator, size: tuple[int, int, int]) -> Beads:
    high = np.array(size[::-1]) - 11
    centres: list[NDArray[np.float64]] = []
    for _ in range(1000):
        trial = rng.uniform(10, high)
        if all(np.linalg.norm(trial - other) > 20 for other in centres):
            centres.append(trial)
    return Beads(np.array(centres), np.array([RADII[place % 2] for place in range(len(centres))]))
