"""Single bright or dead pixels: X-rays and detector faults, which back-projection would draw as rays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD_SIGMAS: Final = 6.0
"""Deviation from the local median, in robust standard deviations, from which a pixel is replaced."""

_MAD_TO_SIGMA: Final = 1.4826


def remove_hot_pixels(image: NDArray[np.floating], threshold_sigmas: float = THRESHOLD_SIGMAS) -> NDArray[np.float32]:
    """Replace pixels that stand out from the median of their 5 x 5 neighbourhood by that median.

    Parameters
    ----------
    image
        ``(y, x)`` tilt image.
    threshold_sigmas
        Where a pixel begins to stand out: its difference from the median, over the standard deviation of that
        difference in the image (1.4826 times its median absolute value, which a few hot pixels do not move).

    Returns
    -------
    NDArray
        ``(y, x)`` image without them. Pixels that are not finite count as hot.
    """
    from scipy.ndimage import median_filter

    image = np.asarray(image, np.float32)
    finite = np.isfinite(image)
    if not finite.all():
        image = np.where(finite, image, np.float32(np.median(image[finite]) if finite.any() else 0.0))
    median = median_filter(image, size=5, mode="mirror")
    difference = np.abs(image - median)
    sigma = _MAD_TO_SIGMA * float(np.median(difference))
    return np.where((difference > threshold_sigmas * sigma) | ~finite, median, image)
