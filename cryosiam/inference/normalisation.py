"""Grey values of a tomogram brought to zero mean and unit spread, from one bounded-memory pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume

CLIP_PERCENTILES = (0.1, 99.9)
SAMPLE_VOXELS = 4_000_000
SLAB_BYTES = 64 << 20


@dataclass(frozen=True)
class Normalisation:
    """Clip to ``[low, high]``, subtract ``mean``, divide by ``std`` (all in the volume's grey values)."""

    low: float
    high: float
    mean: float
    std: float

    def apply(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``array`` (any shape) clipped, with the volume's mean at 0 and standard deviation at 1."""
        clipped = np.clip(array, np.float32(self.low), np.float32(self.high))
        clipped -= np.float32(self.mean)
        clipped *= np.float32(1.0 / self.std)
        return clipped

    def to_unit_range(self, contrast_sign: int = 1) -> Normalisation:
        """Return the scaling of the same clip limits to [0, 1] once the result is multiplied by ``contrast_sign``."""
        zero = self.low if contrast_sign > 0 else self.high
        return Normalisation(self.low, self.high, zero, self.high - self.low)


def whole_range(volume: Volume) -> Normalisation:
    """Return the clip limits that clip nothing of a finite ``volume``, read once, scaled to [0, 1]."""
    lows, highs = zip(*((slab.min(), slab.max()) for slab in map(volume.read, z_slabs(volume.shape))), strict=True)
    low, high = float(min(lows)), float(max(highs))
    # A constant volume has nothing to show; it becomes 0 and not a division by it.
    return Normalisation(low, high if high > low else low + 1.0, low, 1.0).to_unit_range()


def z_slabs(shape: tuple[int, int, int], slab_bytes: int = SLAB_BYTES) -> Iterator[Box]:
    """Yield boxes that cut ``shape`` along z into float32 slabs of about ``slab_bytes``, at least one plane."""
    depth, height, width = shape
    thickness = max(1, slab_bytes // (4 * height * width))
    # Whole chunks of the usual chunked formats, so that none is decompressed twice.
    thickness = thickness // 32 * 32 or thickness
    for start in range(0, depth, thickness):
        yield slice(start, min(start + thickness, depth)), slice(0, height), slice(0, width)


def measure_normalisation(volume: Volume, *, run: str, source: str, slab_bytes: int = SLAB_BYTES) -> Normalisation:
    """Measure how to normalise ``volume``, reading it once in z slabs.

    Every voxel is checked to be a finite number; clip limits, mean and standard deviation come from a regular
    sub-lattice of at most about `SAMPLE_VOXELS` voxels, so that they do not depend on the slab size.

    Parameters
    ----------
    volume
        The tomogram, axis order (z, y, x).
    run, source
        Named in error messages.
    slab_bytes
        Memory for one slab.

    Raises
    ------
    InputError
        If the volume is empty, holds NaN or infinite values, or the same value (nearly) everywhere.
    """
    if min(volume.shape) < 1:
        raise InputError(f"run '{run}': the tomogram {source} has no voxels; give another file")
    voxels = int(np.prod(volume.shape, dtype=np.int64))
    stride = max(1, int(np.ceil((voxels / SAMPLE_VOXELS) ** (1 / 3))))
    parts = []
    for box in z_slabs(volume.shape, slab_bytes):
        slab = volume.read(box)
        if not (np.isfinite(slab.min()) and np.isfinite(slab.max())):
            raise InputError(
                f"run '{run}': the tomogram {source} holds NaN or infinite values near z = {box[0].start}; "
                "reconstruct it again or replace them"
            )
        parts.append(slab[-box[0].start % stride :: stride, ::stride, ::stride].ravel())
    sample = np.concatenate(parts)
    low, high = (float(value) for value in np.percentile(sample, CLIP_PERCENTILES))
    clipped = np.clip(sample, low, high).astype(np.float64)
    mean, std = float(clipped.mean()), float(clipped.std())
    if not std > 1e-6 * max(abs(low), abs(high)):
        raise InputError(
            f"run '{run}': the tomogram {source} has the same value (nearly) everywhere; check the reconstruction"
        )
    return Normalisation(low=low, high=high, mean=mean, std=std)
