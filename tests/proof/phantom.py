"""Phantoms whose places and orientations are known: a few beads, and many copies of an asymmetric object.

Everything is stated in pixels of the tilt series, (x, y, z), where 0 is the centre of the first voxel of the unbinned
tomogram. Volumes and tilt images are drawn from formulas, not from one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass
from scipy.spatial.transform import Rotation

PIXEL_SIZE_ANGSTROM = 2.5
SIZES_XYZ = {"even": (144, 132, 96), "odd": (143, 131, 97)}
"""No two axes are alike, so that exchanged axes show."""
TILTS_DEG = np.arange(-60.0, 61.0, 10.0)
IMAGE_PX = 192
BEADS_XYZ = np.array([[30.3, 22.4, 40.2], [105.7, 50.8, 61.1], [48.2, 78.1, 33.9], [110.6, 107.6, 52.5]])
"""Far apart along y, so that no two overlap in any tilt image."""
BEAD_SIGMA_PX = 3.0

MOTIF_XYZ = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 0.0], [0.0, 6.0, 3.0], [-3.0, -4.0, 7.0]])
MOTIF_WEIGHTS = np.array([1.0, 0.8, 0.65, 0.5])
"""Four blobs that no rotation and no mirror maps onto themselves."""
MOTIF_SIGMA_PX = 1.8


@dataclass(frozen=True)
class Blobs:
    """Gaussian blobs.

    Parameters
    ----------
    centres_xyz
        ``(n, 3)`` pixels.
    weights
        ``(n,)`` height.
    sigma_px
        Width.
    """

    centres_xyz: NDArray[np.float64]
    weights: NDArray[np.float64]
    sigma_px: float

    def volume(self, size_xyz: tuple[int, int, int], step: int = 1, first: float = 0.0) -> NDArray[np.float32]:
        """Return the density (z, y, x) at ``first + step * i``."""
        x, y, z = (
            np.exp(-((first + step * np.arange(size) - self.centres_xyz[:, [axis]]) ** 2) / (2 * self.sigma_px**2))
            for axis, size in enumerate(size_xyz)
        )
        planes = (self.weights[:, None] * z).astype(np.float32)
        flat = (y[:, :, None] * x[:, None, :]).astype(np.float32).reshape(len(x), -1)
        return (planes.T @ flat).reshape(size_xyz[::-1])

    def images(self, size_xyz: tuple[int, int, int]) -> NDArray[np.float32]:
        """Return projections (tilt, y, x), ``u = x cos(t) + z sin(t)``, ``v = y`` from ``N / 2.0``, the images' middle.

        That is the point zarr-particle-tools projects about. RELION's own program takes the voxel ``N // 2``, the
        same for even ``N`` and half a pixel less for odd ``N`` (docs/geometry.md).
        """
        x, y, z = (self.centres_xyz - np.array(size_xyz) / 2.0).T
        angles = np.radians(TILTS_DEG)[:, None]
        grid = np.arange(IMAGE_PX) - IMAGE_PX / 2
        u = np.exp(-((grid - (x * np.cos(angles) + z * np.sin(angles))[..., None]) ** 2) / (2 * self.sigma_px**2))
        v = np.exp(-((grid - y[:, None]) ** 2) / (2 * self.sigma_px**2))
        return np.einsum("n,nv,tnu->tvu", self.weights, v, u, optimize=True).astype(np.float32)


def beads() -> Blobs:
    """Return the beads."""
    return Blobs(BEADS_XYZ, np.ones(len(BEADS_XYZ)), BEAD_SIGMA_PX)


def tomogram(blobs: Blobs, size_xyz: tuple[int, int, int], binning: int, averaged: bool) -> NDArray[np.float32]:
    """Return the binned tomogram (z, y, x).

    Parameters
    ----------
    blobs
        What is in it.
    size_xyz
        Size of the unbinned tomogram.
    binning
        How many pixels of the tilt series a voxel spans.
    averaged
        True for means of ``binning`` voxels along each axis, False for a tomogram that was reconstructed with large
        voxels: voxel ``i`` lies at pixel ``i * binning``.
    """
    x, y, z = (size // binning for size in size_xyz)
    if not averaged:
        return blobs.volume((x, y, z), step=binning)
    whole = blobs.volume(size_xyz)[: z * binning, : y * binning, : x * binning]
    return whole.reshape(z, binning, y, binning, x, binning).mean((1, 3, 5))


@dataclass(frozen=True)
class Copies:
    """Copies of the asymmetric object.

    Parameters
    ----------
    places_xyz
        ``(n, 3)`` pixels, where the object's origin lies.
    rotations
        ``(n, 3, 3)`` object -> tomogram.
    """

    places_xyz: NDArray[np.float64]
    rotations: NDArray[np.float64]

    @property
    def blobs(self) -> Blobs:
        """All their blobs."""
        centres = self.places_xyz[:, None] + np.einsum("nij,kj->nki", self.rotations, MOTIF_XYZ)
        return Blobs(centres.reshape(-1, 3), np.tile(MOTIF_WEIGHTS, len(self.places_xyz)), MOTIF_SIGMA_PX)


def copies(size_xyz: tuple[int, int, int], seed: int) -> Copies:
    """Return copies in random orientations, between voxels, so far apart along y that none overlap in a tilt image."""
    rng = np.random.default_rng(seed)
    y = np.arange(22, size_xyz[1] - 21, 29)
    x, z = (rng.uniform(22, size_xyz[axis] - 22, len(y)) for axis in (0, 2))
    places = np.stack([x, y + rng.uniform(-1, 1, len(y)), z], axis=-1)
    return Copies(places, Rotation.random(len(places), random_state=rng).as_matrix())


def motif(box: int) -> NDArray[np.float64]:
    """Return the object in a box (z, y, x) whose voxel ``box // 2`` is its origin."""
    blobs = Blobs(MOTIF_XYZ + box // 2, MOTIF_WEIGHTS, MOTIF_SIGMA_PX)
    return blobs.volume((box, box, box)).astype(np.float64)


@dataclass(frozen=True)
class Likeness:
    """How like the object an average is: correlation within the object's sphere, worst blob in voxels."""

    correlation: float
    worst_blob_px: float

    @property
    def passes(self) -> bool:
        """Whether it meets the bar."""
        return self.correlation > 0.95 and self.worst_blob_px < 0.1


def likeness(average: NDArray[np.float32]) -> Likeness:
    """Compare an average (z, y, x) with the object, in a box of the same size."""
    truth = motif(len(average))
    z, y, x = np.indices(truth.shape) - len(truth) // 2
    inside = x**2 + y**2 + z**2 <= 14**2
    correlation = np.corrcoef(truth[inside], average[inside])[0, 1]
    errors = [np.linalg.norm(_peak(average, blob) - _peak(truth, blob)) for blob in MOTIF_XYZ]
    return Likeness(float(correlation), float(max(errors)))


def _peak(volume: NDArray[np.floating], blob_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where (z, y, x) the density peaks near a blob; infinitely far off where it rises towards elsewhere."""
    corner = np.rint(blob_xyz[::-1]).astype(int) + len(volume) // 2 - 2
    window = volume[tuple(slice(c, c + 5) for c in corner)]
    peak = np.array(np.unravel_index(window.argmax(), window.shape))
    if ((peak == 0) | (peak == 4)).any():
        return np.full(3, np.inf)
    offsets = []
    for axis in range(3):
        line = np.moveaxis(window, axis, -1)[tuple(np.delete(peak, axis))]
        low, mid, high = line[peak[axis] - 1 : peak[axis] + 2]
        offsets.append(0.5 * (low - high) / (low - 2 * mid + high))
    return corner + peak + offsets


def offset_from_middle(box: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how far, (x, y[, z]) in voxels, the bead in a box is from its voxel ``size // 2``; inf where none is."""
    weights = np.clip(box - np.median(box), 0, None)
    if not weights.max() > 0:
        return np.full(box.ndim, np.inf)
    weights[weights < 0.05 * weights.max()] = 0
    return np.array(center_of_mass(weights))[::-1] - len(box) // 2
