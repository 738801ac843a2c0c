"""Sample mask: where the specimen is, from a coarse probability map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.geometry import binning_shift_angstrom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box

COARSENING: Final = 8
"""Voxels along the edge of a cell of the coarse grid."""

_MARGIN = 1e-3


@dataclass(frozen=True)
class SampleMask:
    """Mask of the sample at full resolution, computed for the region asked for (a `Volume`: 1 sample, 0 not).

    Parameters
    ----------
    field
        ``(z, y, x)`` float32 on the coarse grid: at or above ``threshold`` inside the sample. Cell ``k`` is the mean
        of voxels ``k * coarsening`` to ``(k + 1) * coarsening - 1``, or of those that exist.
    shape
        Size of the volume (z, y, x).
    voxel_size_angstrom
        Edge of the voxel in Å.
    found
        False where no sample was found and the whole volume counts as sample.
    threshold, coarsening
        See ``field``.
    """

    field: NDArray[np.float32]
    shape: tuple[int, int, int]
    voxel_size_angstrom: float
    found: bool
    threshold: float = 0.5
    coarsening: int = COARSENING

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the mask of ``box`` as float32, 0 or 1."""
        values: NDArray[np.float32] = self.field
        for axis, part in enumerate(box):
            values = self._interpolate(values, axis, part)
        return (values >= self.threshold).astype(np.float32)

    @property
    def fraction(self) -> float:
        """Share of the coarse cells that are sample."""
        return float((self.field >= self.threshold).mean())

    @property
    def thickness_angstrom(self) -> float:
        """Median extent of the sample along z in Å, over the columns that hold sample.

        A sample that reaches the top and bottom of the volume may be thicker than the volume shows.
        """
        columns = self._interpolate(self.field, 0, slice(0, self.shape[0])) >= self.threshold
        held = columns.any(axis=0)
        first = columns.argmax(axis=0)[held]
        last = columns.shape[0] - 1 - columns[::-1].argmax(axis=0)[held]
        return float(np.median(last - first + 1)) * self.voxel_size_angstrom

    def _interpolate(self, values: NDArray[np.float32], axis: int, part: slice) -> NDArray[np.float32]:
        """Interpolate linearly along one axis, from cell centres to the voxels of ``part``."""
        cells = values.shape[axis]
        starts = np.arange(cells) * self.coarsening
        widths = np.minimum(self.coarsening, self.shape[axis] - starts)
        centres = starts + np.array([binning_shift_angstrom(int(width), 1.0) for width in widths])
        position = np.interp(np.arange(part.start, part.stop), centres, np.arange(cells))
        low = np.minimum(position.astype(np.int64), max(cells - 2, 0))
        high = np.minimum(low + 1, cells - 1)
        weight = (position - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        below = np.take(values, low, axis)
        result: NDArray[np.float32] = below + weight * (np.take(values, high, axis) - below)
        return result


def find_sample(
    probability: NDArray[np.float32],
    shape: tuple[int, int, int],
    voxel_size_angstrom: float,
    *,
    threshold: float = 0.5,
    smoothing: float = 1.0,
    least_fraction: float = 0.01,
    coarsening: int = COARSENING,
) -> SampleMask:
    """Turn a coarse sample probability into a sample mask: smooth, threshold, largest body, holes filled.

    Parameters
    ----------
    probability
        ``(z, y, x)`` mean sample probability in [0, 1] per cell of ``coarsening`` voxels; the last cell along an
        axis may be incomplete.
    shape
        Size of the volume (z, y, x) in voxels.
    voxel_size_angstrom
        Edge of the voxel in Å.
    threshold
        Probability from which a cell is sample.
    smoothing
        Standard deviation of the Gaussian in cells.
    least_fraction
        A sample that fills less of the volume is taken for noise.
    coarsening
        Voxels along the edge of a cell.

    Returns
    -------
    SampleMask
        Where nothing passes, the whole volume counts as sample and ``found`` is False.

    Raises
    ------
    ValueError
        If the coarse grid does not belong to a volume of this shape.
    """
    expected = tuple(-(-n // coarsening) for n in shape)
    if probability.shape != expected:
        raise ValueError(f"the coarse grid of a volume of {shape} is {expected}, not {probability.shape}")
    smooth = ndimage.gaussian_filter(probability.astype(np.float32), smoothing, mode="nearest")
    labels, count = ndimage.label(smooth >= threshold)
    body = np.zeros(smooth.shape, bool)
    if count:
        body = ndimage.binary_fill_holes(labels == 1 + np.bincount(labels.ravel())[1:].argmax())
    found = bool(body.mean() >= least_fraction) and bool(body.any())
    if not found:
        field = np.ones(smooth.shape, np.float32)
    else:
        # Graded values are kept where they agree with the mask, so that its surface runs between cells.
        field = np.where(body, np.maximum(smooth, threshold + _MARGIN), np.minimum(smooth, threshold - _MARGIN))
    return SampleMask(field.astype(np.float32), shape, voxel_size_angstrom, found, threshold, coarsening)
