"""Evaluation of label volumes, slab by slab: Dice per class and average precision of instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLAB = 16


def _slabs(
    predicted: NDArray[np.integer], truth: NDArray[np.integer]
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Yield both volumes slab by slab.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction is {predicted.shape} and truth is {truth.shape}")
    for start in range(0, predicted.shape[0], _SLAB):
        yield np.asarray(predicted[start : start + _SLAB]), np.asarray(truth[start : start + _SLAB])


def dice_per_class(predicted: NDArray[np.integer], truth: NDArray[np.integer], class_count: int) -> NDArray[np.float64]:
    """Return the Dice coefficient of each class (thesis equation 19).

    Parameters
    ----------
    predicted, truth
        ``(z, y, x)`` labels from 0 to ``class_count - 1``; memory maps will do.
    class_count
        Number of classes, background included.

    Returns
    -------
    NDArray
        ``(class_count,)``; NaN for a class that neither volume holds.

    Raises
    ------
    ValueError
        If shapes differ, or a label is out of range.
    """
    table = np.zeros((class_count, class_count), np.int64)
    for a, b in _slabs(predicted, truth):
        if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= class_count:
            raise ValueError(f"labels must be from 0 to {class_count - 1}")
        joint = a.astype(np.int64).ravel() * class_count + b.astype(np.int64).ravel()
        table += np.bincount(joint, minlength=class_count**2).reshape(class_count, class_count)
    total = table.sum(axis=0) + table.sum(axis=1)
    return np.where(total > 0, 2 * np.diag(table) / np.maximum(total, 1), np.nan)


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


def instance_overlap(predicted: NDArray[np.integer], truth: NDArray[np.integer]) -> InstanceOverlap:
    """Count the voxels that each predicted instance shares with each true one.

    Parameters
    ----------
    predicted, truth
        ``(z, y, x)`` labels, 0 is no instance; memory maps will do.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    keys, counts = [], []
    for a, b in _slabs(predicted, truth):
        where = (a > 0) | (b > 0)
        joint = a[where].astype(np.uint64) << np.uint64(32) | b[where].astype(np.uint64)
        key, count = np.unique(joint, return_counts=True)
        keys.append(key)
        counts.append(count)
    key, group = np.unique(np.concatenate(keys), return_inverse=True)
    shared = np.bincount(group, weights=np.concatenate(counts), minlength=len(key)).astype(np.int64)
    rows, columns = (key >> np.uint64(32)).astype(np.int64), (key & np.uint64(0xFFFFFFFF)).astype(np.int64)
    both = (rows > 0) & (columns > 0)
    return InstanceOverlap(rows[both], columns[both], shared[both], _sizes(rows, shared), _sizes(columns, shared))


def _sizes(labels: NDArray[np.int64], voxels: NDArray[np.int64]) -> dict[int, int]:
    """Return the voxels of each label but 0."""
    unique, group = np.unique(labels, return_inverse=True)
    totals = np.bincount(group, weights=voxels, minlength=len(unique))
    return {int(label): int(total) for label, total in zip(unique, totals, strict=True) if label}


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
    if not thresholds or not all(0.5 <= t < 1 for t in thresholds):
        raise ValueError(f"thresholds must be in [0.5, 1), not {list(thresholds)}")
    found, real = len(overlap.predicted_sizes), len(overlap.truth_sizes)
    if not found + real:
        return float("nan")
    iou = overlap.iou
    matches = np.array([np.count_nonzero(iou > t) for t in thresholds], np.float64)
    return float(np.mean(matches / (found + real - matches)))
