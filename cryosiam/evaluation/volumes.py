"""Evaluation of label volumes, block by block: Dice per class and average precision of instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.evaluation.blocks import label_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.evaluation.blocks import LabelSource

IOU_THRESHOLDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
"""Intersections over union of the thesis' table 7."""

_KEY_BITS: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)


def confusion_table(predicted: LabelSource, truth: LabelSource, class_count: int) -> NDArray[np.int64]:
    """Count the voxels of every pair of predicted and true class.

    Parameters
    ----------
    predicted, truth
        ``(z, y, x)`` labels from 0 to ``class_count - 1``: integer arrays, memory maps or `Volume`.
    class_count
        Number of classes, background included.

    Returns
    -------
    NDArray
        ``(class_count, class_count)``, predicted class by row and true class by column. Tables of several tomograms
        add up.

    Raises
    ------
    ValueError
        If shapes differ, or a label is out of range.
    """
    table = np.zeros((class_count, class_count), np.int64)
    for a, b in label_blocks(predicted, truth):
        if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= class_count:
            raise ValueError(f"labels must be from 0 to {class_count - 1}")
        joint = a.astype(np.int64).ravel() * class_count + b.astype(np.int64).ravel()
        table += np.bincount(joint, minlength=class_count**2).reshape(class_count, class_count)
    return table


def dice_of(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Dice coefficient of each class of a `confusion_table` (thesis equation 19).

    Returns
    -------
    NDArray
        ``(class_count,)``; NaN for a class that neither volume holds.
    """
    total = table.sum(axis=0) + table.sum(axis=1)
    return np.where(total > 0, 2 * np.diag(table) / np.maximum(total, 1), np.nan)


def dice_per_class(predicted: LabelSource, truth: LabelSource, class_count: int) -> NDArray[np.float64]:
    """Return the Dice coefficient of each class. Parameters, result and errors: `confusion_table` and `dice_of`."""
    return dice_of(confusion_table(predicted, truth, class_count))


@dataclass(frozen=True)
class InstanceOverlap:
    """Sparse contingency table of two instance volumes.

    Parameters
    ----------
    predicted, truth
        ``(m,)`` labels of each overlapping pair, 0 left out.
    voxels
        ``(m,)`` voxels they share.
    predicted_sizes, truth_sizes
        Voxels of every label, by label.
    """

    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    voxels: NDArray[np.int64]
    predicted_sizes: dict[int, int]
    truth_sizes: dict[int, int]

    @property
    def iou(self) -> NDArray[np.float64]:
        """``(m,)`` intersection over union of each pair (thesis equation 20)."""
        a = np.array([self.predicted_sizes[int(i)] for i in self.predicted], np.float64)
        b = np.array([self.truth_sizes[int(i)] for i in self.truth], np.float64)
        return np.asarray(self.voxels / (a + b - self.voxels), np.float64)


def instance_overlap(predicted: LabelSource, truth: LabelSource) -> InstanceOverlap:
    """Count the voxels that each predicted instance shares with each true one.

    Parameters
    ----------
    predicted, truth
        ``(z, y, x)`` labels, 0 is no instance: integer arrays, memory maps or `Volume`.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    keys, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for a, b in label_blocks(predicted, truth):
        key, count = _counted((a.astype(np.uint64) << _KEY_BITS | b.astype(np.uint64)).ravel())
        keys.append(key)
        counts.append(count)
    key, shared = _summed(np.concatenate(keys), np.concatenate(counts))
    rows, columns = (key >> _KEY_BITS).astype(np.int64), (key & _LOW).astype(np.int64)
    both = (rows > 0) & (columns > 0)
    return InstanceOverlap(rows[both], columns[both], shared[both], _sizes(rows, shared), _sizes(columns, shared))


def _counted(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Count equal keys. Neighbours mostly agree, so runs of equal keys are counted first and only those sorted."""
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    lengths = np.diff(starts, append=len(keys))
    key = keys[starts]
    kept = key > 0
    return _summed(key[kept], lengths[kept])


def _summed(keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the different keys, sorted, and the sum of the counts of each."""
    unique, group = np.unique(keys, return_inverse=True)
    return unique, np.bincount(group, weights=counts, minlength=len(unique)).astype(np.int64)


def _sizes(labels: NDArray[np.int64], voxels: NDArray[np.int64]) -> dict[int, int]:
    """Return the voxels of each label but 0."""
    unique, group = np.unique(labels, return_inverse=True)
    totals = np.bincount(group, weights=voxels, minlength=len(unique))
    return {int(label): int(total) for label, total in zip(unique, totals, strict=True) if label}


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Raise ValueError unless there are thresholds, all in [0.5, 1), where a match is unique."""
    if not thresholds or not all(0.5 <= t < 1 for t in thresholds):
        raise ValueError(f"thresholds must be in [0.5, 1), not {list(thresholds)}")


def instance_average_precision(overlap: InstanceOverlap, thresholds: Sequence[float] = (0.5,)) -> float:
    """Return ``mean over t of TP / (TP + FP + FN)`` (thesis equations 21 and 22; with one threshold 0.5, AP-50).

    Parameters
    ----------
    overlap
        From `instance_overlap`.
    thresholds
        Intersections over union above which a pair matches, at least 0.5 so that a match is unique.

    Returns
    -------
    float
        In [0, 1]; NaN where both volumes are empty.

    Raises
    ------
    ValueError
        If a threshold is below 0.5 or not below 1.
    """
    check_thresholds(thresholds)
    found, real = len(overlap.predicted_sizes), len(overlap.truth_sizes)
    if not found + real:
        return float("nan")
    iou = overlap.iou
    matches = np.array([np.count_nonzero(iou > t) for t in thresholds], np.float64)
    return float(np.mean(matches / (found + real - matches)))
