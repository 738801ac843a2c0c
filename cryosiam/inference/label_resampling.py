"""Label volumes seen on another grid; voxel j of the new grid is centred at ``j * target`` Å, as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume

Margins = Callable[["NDArray[np.float32]", "NDArray[np.float32]"], "NDArray[np.float32]"]
"""Tells, from labels and probabilities (0 to 1), how far each voxel is from changing between label and background."""

LEAST_MARGIN: Final = 0.02
"""No voxel is so unsure that its neighbours decide without it."""

_CORNERS: Final = 8


@dataclass(frozen=True)
class NearestVolume:
    """A label volume seen on a grid of another voxel size: each voxel takes the label of the nearest source voxel.

    Parameters
    ----------
    volume
        Labels, axis order (z, y, x).
    source_voxel_size_angstrom, target_voxel_size_angstrom
        Edge of the labels' and of the new voxel in Å.
    shape
        Size of the new grid, as that of the tomogram the labels go back to.
    """

    volume: Volume
    source_voxel_size_angstrom: float
    target_voxel_size_angstrom: float
    shape: tuple[int, int, int]

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the labels of ``box`` as a new float32 array in C order."""
        axes = [np.floor(centres + 0.5).astype(np.int64) for centres in _source_indices(self, box, self.volume.shape)]
        if any(len(axis) == 0 for axis in axes):
            return np.zeros([len(axis) for axis in axes], np.float32)
        z, y, x = (slice(int(axis[0]), int(axis[-1]) + 1) for axis in axes)
        array = self.volume.read((z, y, x))
        return array[np.ix_(*(axis - axis[0] for axis in axes))]


@dataclass(frozen=True)
class SurfaceVolume:
    """Labels seen on another grid, with their surfaces where the network's probabilities put them between voxels.

    Taking the nearest label gives surfaces steps as large as the coarser voxel, which a small particle suffers from
    most. Each of the eight source voxels about a new
    one has a vote, by nearness (trilinear) times margin. A voxel has a label if those with labels outvote the
    background, and then the label with most votes. No label appears that none of the eight has.

    Parameters
    ----------
    labels
        Labels, axis order (z, y, x), 0 the background.
    probability
        On the same grid, 0 to 255.
    margins
        Of labels and probabilities.
    source_voxel_size_angstrom, target_voxel_size_angstrom
        Edge of the labels' and of the new voxel in Å.
    shape
        Size of the new grid, as that of the tomogram the labels go back to.
    """

    labels: Volume
    probability: Volume
    margins: Margins
    source_voxel_size_angstrom: float
    target_voxel_size_angstrom: float
    shape: tuple[int, int, int]

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the labels of ``box`` as a new float32 array in C order."""
        centres = _source_indices(self, box, self.labels.shape)
        result = np.zeros([len(axis) for axis in centres], np.float32)
        if 0 in result.shape:
            return result
        low = [np.floor(axis).astype(np.int64) for axis in centres]
        shares = [(axis - first).astype(np.float32) for axis, first in zip(centres, low, strict=True)]
        # One voxel more than the last low one; beyond the volume its share is 0, and the last voxel stands in.
        z, y, x = (
            slice(int(first[0]), min(int(first[-1]) + 2, size))
            for first, size in zip(low, self.labels.shape, strict=True)
        )
        labels = self.labels.read((z, y, x))
        margins = self.margins(labels, self.probability.read((z, y, x)) / np.float32(255.0))
        (low_z, low_y, low_x), (share_z, share_y, share_x) = (first - first[0] for first in low), shares
        _vote(labels, margins, low_z, low_y, low_x, share_z, share_y, share_x, result)
        return result


def class_margins(labels: NDArray[np.float32], probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the margins of classes, of which ``probability`` is that of the label, the background's included.

    Between two classes that share all probability, a surface lies where either has one half.
    """
    margins: NDArray[np.float32] = np.maximum(2.0 * probability - 1.0, LEAST_MARGIN, dtype=np.float32)
    return margins


def instance_margins(threshold: float) -> Margins:
    """Return the margins of instances that were cut from a foreground at ``threshold``.

    Foreground that no instance holds was left out on purpose, so it counts as sure background.
    """

    def margins(labels: NDArray[np.float32], foreground: NDArray[np.float32]) -> NDArray[np.float32]:
        left_out = (labels == 0) & (foreground >= threshold)
        distance = np.where(left_out, np.float32(threshold), np.abs(foreground - np.float32(threshold)))
        return np.maximum(distance, LEAST_MARGIN, dtype=np.float32)

    return margins


def _source_indices(
    view: NearestVolume | SurfaceVolume, box: Box, source_shape: tuple[int, int, int]
) -> list[NDArray[np.float64]]:
    """Return, along each axis, where the voxels of ``box`` lie in the source, in its voxels."""
    ratio = view.target_voxel_size_angstrom / view.source_voxel_size_angstrom
    bounds = [part.indices(size)[:2] for part, size in zip(box, view.shape, strict=True)]
    return [
        np.clip(np.arange(start, stop) * ratio, 0.0, size - 1.0)
        for (start, stop), size in zip(bounds, source_shape, strict=True)
    ]


@njit(cache=True, nogil=True)
def _vote(
    labels: Any, margins: Any, low_z: Any, low_y: Any, low_x: Any, share_z: Any, share_y: Any, share_x: Any, out: Any
) -> None:
    last_z, last_y, last_x = labels.shape[0] - 1, labels.shape[1] - 1, labels.shape[2] - 1
    found = np.empty(_CORNERS, labels.dtype)
    votes = np.empty(_CORNERS, np.float32)
    for k in range(out.shape[0]):
        z0, z1 = low_z[k], min(low_z[k] + 1, last_z)
        for j in range(out.shape[1]):
            y0, y1 = low_y[j], min(low_y[j] + 1, last_y)
            for i in range(out.shape[2]):
                x0, x1 = low_x[i], min(low_x[i] + 1, last_x)
                first = labels[z0, y0, x0]
                if (
                    first == labels[z0, y0, x1]
                    and first == labels[z0, y1, x0]
                    and first == labels[z0, y1, x1]
                    and first == labels[z1, y0, x0]
                    and first == labels[z1, y0, x1]
                    and first == labels[z1, y1, x0]
                    and first == labels[z1, y1, x1]
                ):
                    out[k, j, i] = first
                    continue
                background, labelled, kinds = np.float32(0.0), np.float32(0.0), 0
                for corner in range(_CORNERS):
                    far_z, far_y, far_x = corner >> 2, (corner >> 1) & 1, corner & 1
                    z, y, x = z1 if far_z else z0, y1 if far_y else y0, x1 if far_x else x0
                    weight = margins[z, y, x]
                    weight *= share_z[k] if far_z else 1 - share_z[k]
                    weight *= share_y[j] if far_y else 1 - share_y[j]
                    weight *= share_x[i] if far_x else 1 - share_x[i]
                    label = labels[z, y, x]
                    if label == 0:
                        background += weight
                        continue
                    labelled += weight
                    kind = 0
                    while kind < kinds and found[kind] != label:
                        kind += 1
                    if kind == kinds:
                        found[kind], votes[kind] = label, np.float32(0.0)
                        kinds += 1
                    votes[kind] += weight
                best = 0
                for kind in range(1, kinds):
                    if votes[kind] > votes[best]:
                        best = kind
                out[k, j, i] = found[best] if labelled > background else 0
