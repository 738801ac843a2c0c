"""How near a denoised volume comes to the clean one: PSNR and SSIM after matching grey values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume

WINDOW: Final = 7
"""Edge of the cube in which SSIM compares."""

_K1: Final = 0.01
_K2: Final = 0.03
_MARGIN: Final = WINDOW // 2
_DEPTH: Final = 24
_HEIGHT: Final = 96


@dataclass(frozen=True)
class GreyMatch:
    """The straight line that brings a volume's grey values to those of the clean one, by least squares.

    Parameters
    ----------
    slope, intercept
        ``clean = slope * volume + intercept``. The slope is never negative: inverted contrast is not mended.
    data_range
        Largest less smallest value of the clean volume.
    correlation
        Pearson correlation of both volumes; NaN where one is constant.
    """

    slope: float
    intercept: float
    data_range: float
    correlation: float


def match_grey_values(volume: Volume, clean: Volume) -> GreyMatch:
    """Fit the grey values of a volume, whose unit is arbitrary, to those of the clean one.

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, or the clean volume is constant.
    """
    _check_shapes(volume, clean)
    moments, low, high, offsets = np.zeros((2, 2)), np.inf, -np.inf, None
    sums, count = np.zeros(2), 0
    for box in _slabs(clean.shape):
        pair = np.stack([volume.read(box).ravel(), clean.read(box).ravel()]).astype(np.float64)
        if not np.isfinite(pair).all():
            raise ValueError("a voxel is not a finite number")
        low, high = min(low, pair[1].min()), max(high, pair[1].max())
        # Values far from zero would cancel: count from the mean of the first slab.
        offsets = pair.mean(axis=1, keepdims=True) if offsets is None else offsets
        pair -= offsets
        sums += pair.sum(axis=1)
        moments += pair @ pair.T
        count += pair.shape[1]
    if offsets is None or not high > low:
        raise ValueError("the clean volume is constant")
    mean = sums / count
    covariance = moments / count - np.outer(mean, mean)
    spread = max(covariance[0, 0], 0.0)
    slope = max(0.0, covariance[0, 1] / spread) if spread > 0 else 0.0
    scale = np.sqrt(spread * covariance[1, 1])
    correlation = float(covariance[0, 1] / scale) if scale > 0 else float("nan")
    volume_mean, clean_mean = mean + offsets[:, 0]
    return GreyMatch(float(slope), float(clean_mean - slope * volume_mean), float(high - low), correlation)


def psnr_db(volume: Volume, clean: Volume, match: GreyMatch) -> float:
    """Return the peak signal-to-noise ratio in decibel: ``10 log10(range² / mean squared error)``.

    Parameters
    ----------
    volume, clean
        Of the same shape.
    match
        From `match_grey_values`; its line is applied to ``volume`` and its range is the peak.
    """
    _check_shapes(volume, clean)
    total = sum(
        float(np.sum((match.slope * volume.read(box).astype(np.float64) + match.intercept - clean.read(box)) ** 2))
        for box in _slabs(clean.shape)
    )
    error = total / np.prod(clean.shape, dtype=np.float64)
    return float(10 * np.log10(match.data_range**2 / error)) if error > 0 else float("inf")


def structural_similarity(volume: Volume, clean: Volume, match: GreyMatch) -> float:
    """Return the mean structural similarity in cubes of `WINDOW` voxels (Wang et al. 2004).

    Uniform windows, sample covariance, K1 = 0.01, K2 = 0.03, voxels without a whole window left out.

    Parameters
    ----------
    volume, clean, match
        As for `psnr_db`.

    Raises
    ------
    ValueError
        If the shapes differ, or a side is shorter than the window.
    """
    _check_shapes(volume, clean)
    if min(clean.shape) < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW} voxels or more along each side, and the volume has {clean.shape}")
    total, count = 0.0, 0
    for box in _windows(clean.shape):
        matched = match.slope * volume.read(box).astype(np.float64) + match.intercept
        similarity = _similarity(matched, clean.read(box).astype(np.float64), match.data_range)
        total += float(similarity.sum())
        count += similarity.size
    return total / count


def _similarity(a: NDArray[np.float64], b: NDArray[np.float64], data_range: float) -> NDArray[np.float64]:
    """Return the similarity at every voxel that has a whole window."""
    inside = (slice(_MARGIN, -_MARGIN),) * 3

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        filtered: NDArray[np.float64] = ndimage.uniform_filter(values, WINDOW)
        return filtered[inside]

    voxels = WINDOW**3
    sample = voxels / (voxels - 1)
    mean_a, mean_b = mean(a), mean(b)
    variances = sample * (mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2)
    covariance = sample * (mean(a * b) - mean_a * mean_b)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return np.asarray(above / ((mean_a**2 + mean_b**2 + c1) * (variances + c2)))


def _windows(shape: tuple[int, int, int]) -> Iterator[Box]:
    """Yield boxes whose inner parts, less `_MARGIN` on each side, fill the inner part of the volume."""
    for z in range(0, shape[0] - 2 * _MARGIN, _DEPTH):
        for y in range(0, shape[1] - 2 * _MARGIN, _HEIGHT):
            yield (
                slice(z, min(z + _DEPTH + 2 * _MARGIN, shape[0])),
                slice(y, min(y + _HEIGHT + 2 * _MARGIN, shape[1])),
                slice(0, shape[2]),
            )


def _slabs(shape: tuple[int, int, int]) -> Iterator[Box]:
    for z in range(0, shape[0], _DEPTH // 4):
        yield slice(z, min(z + _DEPTH // 4, shape[0])), slice(0, shape[1]), slice(0, shape[2])


def _check_shapes(volume: Volume, clean: Volume) -> None:
    if tuple(volume.shape) != tuple(clean.shape):
        raise ValueError(f"the volume is {tuple(volume.shape)} and the clean one is {tuple(clean.shape)}")
