"""Whether the density lies beside the particles, all in one direction.

The mean of boxes around particles that are turned every way is the same seen from both sides of their true centre,
hollow or not, with fringes or without. The offset is the point about which the mean box is most alike to its inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cryosiam.geometry import indices_from_positions
from cryosiam.integrations.star.check.density import Particles

_REACH: Final = 14
"""Half the edge of the mean box in voxels."""
_MOST: Final = 400
_GROUPS: Final = 10
_FEWEST: Final = 30
CLEAR: Final = 8.0
"""How far the peak must stand out, in standard deviations of the mean box."""
ALIKE: Final = 0.6
"""How alike, as a correlation, both sides of the centre must be."""
_EDGE: Final = 4
SURE: Final = 5.0
"""How many standard errors an offset must be."""


@dataclass(frozen=True)
class Offset:
    """Where the density lies, seen from the particles.

    Parameters
    ----------
    angstrom
        ``(3,)`` along x, y, z.
    error_angstrom
        Standard error along each axis, by leaving out a tenth of the particles in turn.
    count
        Number of particles.
    voxel_size_angstrom
        Voxel size of the tomogram.
    """

    angstrom: NDArray[np.float64]
    error_angstrom: float
    count: int
    voxel_size_angstrom: float

    @property
    def is_sure(self) -> bool:
        """True where the offset is more than a voxel and a half, and many standard errors."""
        length = float(np.linalg.norm(self.angstrom))
        return length > max(1.5 * self.voxel_size_angstrom, SURE * self.error_angstrom)

    def is_one_pixel(self, pixel_size_angstrom: float) -> bool:
        """Tell whether the particles lie one pixel too far along x, y and z alike."""
        miss = float(np.abs(self.angstrom + pixel_size_angstrom).max())
        return self.error_angstrom < 0.25 * pixel_size_angstrom and miss < 0.35 * pixel_size_angstrom


def offset_of(sets: Sequence[Particles], seed: int = 0) -> Offset | None:
    """Return where the density lies, seen from the particles, or None where it does not show.

    Parameters
    ----------
    sets
        Particles of each tomogram; those with the voxel size of the first are used.
    seed
        Of the choice of particles.
    """
    voxel_size = sets[0].volume.voxel_size_angstrom
    alike = [particles for particles in sets if abs(particles.volume.voxel_size_angstrom / voxel_size - 1) < 1e-3]
    boxes = np.concatenate([_boxes(particles, seed) for particles in alike])
    if len(boxes) < _FEWEST:
        return None
    groups = np.stack([boxes[start::_GROUPS].sum(axis=0) for start in range(_GROUPS)])
    total = groups.sum(axis=0)
    if not _shows(total):
        return None
    whole, likeness = _centre(total)
    if likeness < ALIKE:
        return None
    parts = np.stack([_centre(total - group)[0] for group in groups])
    error = np.sqrt((_GROUPS - 1) / _GROUPS * ((parts - parts.mean(axis=0)) ** 2).sum(axis=0))
    return Offset(whole[::-1] * voxel_size, float(error.max()) * voxel_size, len(boxes), voxel_size)


def _boxes(particles: Particles, seed: int) -> NDArray[np.float64]:
    """Return boxes around particles, interpolated so that each is in the middle, with mean 0 and deviation 1."""
    from scipy.ndimage import shift

    volume = particles.volume
    voxels = indices_from_positions(particles.positions_angstrom, volume.voxel_size_angstrom)
    margin = _REACH + 2
    shape = np.array(volume.voxels.shape)
    kept = voxels[((voxels >= margin) & (voxels <= shape - 1 - margin)).all(axis=1)]
    if len(kept) > _MOST:
        kept = kept[np.random.default_rng(seed).choice(len(kept), _MOST, replace=False)]
    found = []
    for place in kept:
        middle = np.rint(place).astype(np.int64)
        region = tuple(slice(int(at) - _REACH - 1, int(at) + _REACH + 2) for at in middle)
        box = shift(np.asarray(volume.voxels[region], dtype=np.float64), middle - place, order=1, mode="nearest")
        box = box[1:-1, 1:-1, 1:-1]
        found.append((box - box.mean()) / (box.std() or 1.0))
    return np.stack(found) if found else np.empty((0, *(2 * _REACH + 1,) * 3))


def _smooth(box: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    smooth = np.asarray(gaussian_filter(box, 1.5))
    return smooth - np.median(smooth)


def _shows(mean: NDArray[np.float64]) -> bool:
    """Tell whether anything stands out in the mean box."""
    smooth = _smooth(mean)
    spread = 1.4826 * float(np.median(np.abs(smooth)))
    return spread > 0 and float(np.abs(smooth[3:-3, 3:-3, 3:-3]).max()) > CLEAR * spread


def _centre(mean: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the centre of symmetry (z, y, x) in voxels from the middle of the box, and how alike both sides are."""
    from scipy.fft import irfftn, next_fast_len, rfftn

    smooth = _smooth(mean)
    lengths = [next_fast_len(2 * n - 1, real=True) for n in smooth.shape]
    both = irfftn(rfftn(smooth, lengths) ** 2, lengths)[tuple(slice(2 * n - 1) for n in smooth.shape)]
    reach = 2 * (_REACH - _EDGE)
    middle = tuple(n - 1 for n in smooth.shape)
    near = tuple(slice(at - reach, at + reach + 1) for at in middle)
    place = np.array(np.unravel_index(int(both[near].argmax()), both[near].shape)) + np.array(middle) - reach
    exact = place + np.array([_vertex(both, place, axis) for axis in range(3)])
    return (exact - np.array(middle)) / 2.0, float(both[tuple(place)] / (smooth**2).sum())


def _vertex(values: NDArray[np.float64], place: NDArray[np.int64], axis: int) -> float:
    """Return where a parabola through a maximum and its neighbours along an axis has its vertex, from the maximum."""
    step = np.eye(3, dtype=np.int64)[axis]
    before, here, after = (float(values[tuple(place + sign * step)]) for sign in (-1, 0, 1))
    curve = before - 2 * here + after
    return 0.5 * (before - after) / curve if curve < 0 else 0.0
