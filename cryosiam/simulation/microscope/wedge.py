"""What a tilt series has seen of a volume's spectrum.

The image of tilt ``t`` holds the volume's Fourier coefficients on the plane through the y axis and the direction
``(kx, kz) = (cos t, sin t)`` (projection-slice theorem), and back-projection puts them there and nowhere else. A box
of finite size smears each plane by the transform of its window. A sharp box has tails that never end, so the check
applies a smooth window first, whose transform ends after a few frequency steps of the box: energy beyond those does
not come from the tilts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft
from scipy.signal.windows import blackmanharris

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

WINDOW_REACH_STEPS: Final = 4.0
"""Half-width of the main lobe of a Blackman-Harris window, in frequency steps ``1 / size``; side lobes are at -92 dB
(Harris, Proc. IEEE 1978, table 1)."""


def seen_by_tilts(
    shape_zx: tuple[int, int], tilt_angles_deg: ArrayLike, reach_steps: float = WINDOW_REACH_STEPS
) -> NDArray[np.bool_]:
    """Return which frequencies of a windowed volume lie on the plane of a tilt.

    Parameters
    ----------
    shape_zx
        Size of the volume along z and x, in voxels.
    tilt_angles_deg
        ``(n,)`` tilts about y.
    reach_steps
        A plane is as thick as the window's transform: frequencies within ``reach_steps / depth`` along kz and
        ``reach_steps / width`` along kx of a point of the plane belong to it.

    Returns
    -------
    NDArray
        ``(z, x // 2 + 1)``, the grid of ``numpy.fft.rfft2``; the same for every ky.
    """
    depth, width = shape_zx
    kz, kx = np.fft.fftfreq(depth)[:, None], np.fft.rfftfreq(width)[None, :]
    seen = np.zeros((depth, width // 2 + 1), bool)
    for tilt in np.deg2rad(np.atleast_1d(np.asarray(tilt_angles_deg, np.float64))):
        cosine, sine = np.cos(tilt), np.sin(tilt)
        thickness = reach_steps * (abs(sine) / width + abs(cosine) / depth)
        seen |= np.abs(kx * sine - kz * cosine) <= thickness + 1e-12
    return seen


def energy_outside_tilts(
    volume: NDArray[np.floating],
    tilt_angles_deg: ArrayLike,
    *,
    reach_steps: float = WINDOW_REACH_STEPS,
    highest_frequency: float = 0.5,
) -> float:
    """Return the share of a volume's spectral energy that lies on no plane of the tilts.

    The volume is multiplied by a Blackman-Harris window along z and x first. Of a back-projection of tilt images this
    is 0 but for interpolation and rounding; of a volume with white noise it is the share of the frequencies not seen.

    Parameters
    ----------
    volume
        ``(z, y, x)``, at least some 5 ``reach_steps`` deep, or all frequencies are seen.
    tilt_angles_deg
        ``(n,)`` tilts about y.
    reach_steps
        As of :func:`seen_by_tilts`; not below that of the window, or its own lobe counts as outside.
    highest_frequency
        Only frequencies up to this one, in cycles per voxel across the tilt axis, are counted.
    """
    depth, _, width = volume.shape
    window = np.outer(blackmanharris(depth), blackmanharris(width))
    energy = np.zeros((depth, width // 2 + 1))
    for y in range(volume.shape[1]):
        energy += np.abs(fft.rfft2(volume[:, y].astype(np.float64) * window)) ** 2
    # rfft2 holds one of two equal halves; the columns at 0 and at Nyquist stand for themselves.
    energy[:, 1 : (width + 1) // 2] *= 2
    energy[np.hypot(np.fft.fftfreq(depth)[:, None], np.fft.rfftfreq(width)[None, :]) > highest_frequency] = 0
    total = energy.sum()
    outside = energy[~seen_by_tilts((depth, width), tilt_angles_deg, reach_steps)].sum()
    return float(outside / total) if total > 0 else 0.0
