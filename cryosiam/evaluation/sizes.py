"""Average precision of instances by size class (thesis figure 15c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.evaluation.volumes import IOU_THRESHOLDS, InstanceOverlap, check_thresholds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SIZE_CLASSES: Final = ("tiny", "small", "medium", "big", "very big")
"""Size classes, smallest first."""

SIZE_LIMITS_VOXELS: Final = (150.0, 900.0, 2000.0, 6000.0)
"""Voxels from which the next class begins, at `SIZE_VOXEL_ANGSTROM`."""

SIZE_VOXEL_ANGSTROM: Final = 6.8
"""Voxel size the limits are stated for, that of the thesis' simulations."""

ALL_SIZES: Final = "all"


@dataclass(frozen=True)
class InstanceScore:
    """Counts of instances at each threshold; those of several tomograms add up.

    Parameters
    ----------
    thresholds
        ``t`` intersections over union.
    matched, extra, missed
        ``(t,)`` true positives, false positives and false negatives.
    """

    thresholds: tuple[float, ...]
    matched: NDArray[np.int64]
    extra: NDArray[np.int64]
    missed: NDArray[np.int64]

    @property
    def precision(self) -> NDArray[np.float64]:
        """``(t,)`` TP / (TP + FP + FN), the AP at each threshold (thesis equation 21); NaN without instances."""
        total = self.matched + self.extra + self.missed
        return np.where(total > 0, self.matched / np.maximum(total, 1), np.nan)

    @property
    def average_precision(self) -> float:
        """Mean over the thresholds (thesis equation 22); NaN without instances."""
        return float(self.precision.mean())

    @property
    def truth(self) -> int:
        """Number of true instances."""
        return int(self.matched[0] + self.missed[0])

    def __add__(self, other: InstanceScore) -> InstanceScore:
        """Pool the counts of two tomograms."""
        return InstanceScore(
            self.thresholds, self.matched + other.matched, self.extra + other.extra, self.missed + other.missed
        )


def size_classes_of(voxels: ArrayLike, voxel_size_angstrom: float) -> NDArray[np.int64]:
    """Return the index in `SIZE_CLASSES` of instances of so many voxels.

    The limits are volumes: at another voxel size they are other numbers of voxels. An instance of exactly a limit's
    size is in the smaller class for ``very big`` (more than 6000) and in the larger one otherwise.

    Parameters
    ----------
    voxels
        ``(n,)`` sizes.
    voxel_size_angstrom
        Edge of those voxels.
    """
    sizes = np.asarray(voxels, np.float64) * (voxel_size_angstrom / SIZE_VOXEL_ANGSTROM) ** 3
    index = np.searchsorted(SIZE_LIMITS_VOXELS, sizes, side="right")
    return np.where(sizes == SIZE_LIMITS_VOXELS[-1], len(SIZE_CLASSES) - 2, index).astype(np.int64)


def instance_scores(
    overlap: InstanceOverlap, voxel_size_angstrom: float, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[str, InstanceScore]:
    """Count matches, extra and missed instances, over all and by size class.

    A true instance counts for the class of its own size, and so does the prediction matched with it; a prediction
    matched with nothing counts for the class of its own size. So the classes add up to all.

    Parameters
    ----------
    overlap
        From `cryosiam.evaluation.instance_overlap`.
    voxel_size_angstrom
        Of both volumes.
    thresholds
        Intersections over union above which a pair matches.

    Returns
    -------
    dict
        By `ALL_SIZES` and the names in `SIZE_CLASSES`.

    Raises
    ------
    ValueError
        If a threshold is below 0.5 or not below 1.
    """
    check_thresholds(thresholds)
    classes = len(SIZE_CLASSES)
    truth = np.array(sorted(overlap.truth_sizes), np.int64)
    found = np.array(sorted(overlap.predicted_sizes), np.int64)
    truth_class = size_classes_of([overlap.truth_sizes[int(i)] for i in truth], voxel_size_angstrom)
    found_class = size_classes_of([overlap.predicted_sizes[int(i)] for i in found], voxel_size_angstrom)
    counts = np.zeros((3, len(thresholds), classes), np.int64)
    iou = overlap.iou
    for row, threshold in enumerate(thresholds):
        pairs = iou > threshold
        hit = np.isin(truth, overlap.truth[pairs])
        used = np.isin(found, overlap.predicted[pairs])
        for kind, members in enumerate((truth_class[hit], found_class[~used], truth_class[~hit])):
            counts[kind, row] = np.bincount(members, minlength=classes)
    limits = tuple(float(t) for t in thresholds)
    scores = {ALL_SIZES: InstanceScore(limits, *counts.sum(axis=2))}
    return scores | {name: InstanceScore(limits, *counts[:, :, i]) for i, name in enumerate(SIZE_CLASSES)}
