"""Single bright or dead pixels: X-rays and detector faults, which back-projection would draw as rays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD_SIGMAS: Final = 6.0
"""Deviation from the local median, in robust standard deviations, from which a pixel is replaced."""

LARGEST_CLUSTER: Final = 5
"""Pixels that may stand out together in a 5 x 5 neighbourhood; more are an object, such as a gold bead."""

_MAD_TO_SIGMA: Final = 1.4826
_WINDOW: Final = 5


def remove_hot_pixels(image: NDArray[np.floating], threshold_sigmas: float = THRESHOLD_SIGMAS) -> NDArray[np.float32]:
    """Replace pixels that stand out from the median of their 5 x 5 neighbourhood by that median.

    A pixel stays if more than `LARGEST_CLUSTER` pixels of the neighbourhood stand out at least half as far.

    Parameters
    ----------
    image
        ``(y, x)`` tilt image.
    threshold_sigmas
        Where a pixel begins to stand out: its difference from the median, over the standard deviation of local
        differences in the image (1.4826 times their median absolute value, which a few hot pixels do not move).

    Returns
    -------
    NDArray
        ``(y, x)`` image without them. Pixels that are not finite count as hot.
    """
    from scipy.ndimage import uniform_filter

    finite = np.isfinite(image)
    cleaned = np.array(image, np.float32)
    cleaned[~finite] = np.median(cleaned[finite]) if finite.any() else 0.0
    difference = np.abs(cleaned - uniform_filter(cleaned, size=_WINDOW, mode="mirror"))
    sigma = _MAD_TO_SIGMA * float(np.median(difference))
    # A median of every window would take most of the time of a reconstruction, so only pixels that stand out from
    # the local mean get one; half the threshold leaves room for hot neighbours that pull the mean.
    places = np.nonzero((difference > threshold_sigmas / 2 * sigma) | ~finite)
    padded = np.pad(cleaned, _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_WINDOW, _WINDOW))[places]
    windows = windows.reshape(-1, _WINDOW**2)
    medians = np.median(windows, axis=1)
    height = np.abs(cleaned[places] - medians)
    alike = np.count_nonzero(np.abs(windows - medians[:, None]) > height[:, None] / 2, axis=1)
    hot = (height > threshold_sigmas * sigma) & (alike <= LARGEST_CLUSTER) | ~finite[places]
    cleaned[places] = np.where(hot, medians, cleaned[places])
    return cleaned
