"""Volumes seen on another grid: voxel j of the new grid is centred at ``j * target`` Å, as the geometry contract says.

Position 0 stays the centre of the first voxel, so a position in Å means the same on both grids.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume

SAME_GRID_TOLERANCE: Final = 0.02
"""Relative difference of voxel sizes below which a volume is used as it is."""


BLOCK_VOXELS: Final = 2**24
"""Most voxels of the source, or of the new grid, that resampling works on at once. Blocks about as large as the
chunks of a tomogram's store (256 voxels on edge) are small in memory and still read few chunks twice."""


def resampled_size(size: int, source_voxel_size: float, target_voxel_size: float) -> int:
    """Return how many target voxel centres lie between the first and last of ``size`` source voxel centres."""
    return int(np.floor((size - 1) * source_voxel_size / target_voxel_size + 1e-6)) + 1


def _clipped(box: Box, shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    return [part.indices(size)[:2] for part, size in zip(box, shape, strict=True)]


def _kernel(start: int, stop: int, ratio: float, source_size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, for target voxels ``start..stop``, source indices and weights, both ``(stop - start, taps)``.

    A triangle as wide as the coarser of the two voxels, corrected so that the zeroth and first moments are
    exact: a linear ramp is reproduced, and nothing moves.
    """
    centres = np.clip(np.arange(start, stop, dtype=np.float64) * ratio, 0.0, source_size - 1.0)
    reach = max(1.0, ratio)
    # A centre within rounding of an integer must not pick up a neighbour by chance.
    centres = np.where(np.abs(centres - np.rint(centres)) < 1e-6, np.rint(centres), centres)
    first = np.floor(centres - reach).astype(np.int64) + 1
    taps = int(np.ceil(2 * reach)) + 1
    indices = first[:, None] + np.arange(taps)
    offsets = indices - centres[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(offsets) / reach)
    weights[(indices < 0) | (indices >= source_size)] = 0.0
    m0, m1, m2 = ((weights * offsets**k).sum(axis=1, keepdims=True) for k in range(3))
    determinant = m0 * m2 - m1 * m1
    # One voxel in reach: nothing to correct.
    solvable = determinant > 1e-9
    safe = np.where(solvable, determinant, 1.0)
    weights *= np.where(solvable, (m2 - m1 * offsets) / safe, 1.0 / m0)
    return np.clip(indices, 0, source_size - 1), weights.astype(np.float32)


def _sample_axis(
    array: NDArray[np.float32], axis: int, indices: NDArray[np.int64], weights: NDArray[np.float32], origin: int
) -> NDArray[np.float32]:
    """Sum ``taps`` weighted gathers along ``axis``; the order of sums is fixed, so results never depend on the box."""
    shape = [1, 1, 1]
    shape[axis] = -1
    total: NDArray[np.float32] | None = None
    for tap in range(indices.shape[1]):
        term = np.take(array, np.clip(indices[:, tap] - origin, 0, array.shape[axis] - 1), axis=axis)
        term *= weights[:, tap].reshape(shape)
        if total is None:
            total = term
        else:
            total += term
    if total is None:
        raise ValueError("a kernel needs at least one tap")
    return total


def _block_size(sizes: Sequence[int], ratio: float) -> list[int]:
    """Return the edges of blocks of the new grid within `BLOCK_VOXELS`, on either grid, that cover ``sizes``."""
    edges = list(sizes)
    reach = 2 * max(1.0, ratio) + 1
    while max(math.prod(edges), math.prod(edge * ratio + reach for edge in edges)) > BLOCK_VOXELS and max(edges) > 1:
        longest = edges.index(max(edges))
        edges[longest] = -(-edges[longest] // 2)
    return edges


@dataclass(frozen=True)
class ResampledVolume:
    """A volume sampled on a grid of another voxel size, anti-aliased when it shrinks.

    Reading any box gives exactly the values that reading the whole volume would give. The source is read a block at
    a time, so that memory does not grow with how much finer its voxels are.

    Parameters
    ----------
    volume
        Source, axis order (z, y, x).
    source_voxel_size_angstrom, target_voxel_size_angstrom
        Edge of the source's and of the new voxel in Å.
    target_shape
        Size of the new grid; by default as many voxels as have their centre between the source's first and last.
        Centres beyond the source take the value at its edge.
    """

    volume: Volume
    source_voxel_size_angstrom: float
    target_voxel_size_angstrom: float
    target_shape: tuple[int, int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        if self.target_shape is not None:
            return self.target_shape
        sizes = (self.source_voxel_size_angstrom, self.target_voxel_size_angstrom)
        z, y, x = self.volume.shape
        return resampled_size(z, *sizes), resampled_size(y, *sizes), resampled_size(x, *sizes)

    @property
    def working_bytes(self) -> int:
        """Most memory that reading takes beside its result: a block, its sum and a term of it, all float32."""
        largest = max(math.prod(self.volume.shape), math.prod(self.shape))
        return 3 * 4 * min(BLOCK_VOXELS, largest)

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order."""
        ratio = self.target_voxel_size_angstrom / self.source_voxel_size_angstrom
        bounds = _clipped(box, self.shape)
        sizes = [max(0, stop - start) for start, stop in bounds]
        result = np.empty(sizes, np.float32)
        if 0 in sizes:
            return result
        edges = _block_size(sizes, ratio)
        for corner in itertools.product(*(range(0, n, edge) for n, edge in zip(sizes, edges, strict=True))):
            z, y, x = (slice(at, min(at + edge, n)) for at, edge, n in zip(corner, edges, sizes, strict=True))
            block = [
                (first + part.start, first + part.stop) for (first, _), part in zip(bounds, (z, y, x), strict=True)
            ]
            result[z, y, x] = self._read_block(block, ratio)
        return result

    def _read_block(self, bounds: list[tuple[int, int]], ratio: float) -> NDArray[np.float32]:
        kernels = [
            _kernel(start, stop, ratio, size) for (start, stop), size in zip(bounds, self.volume.shape, strict=True)
        ]
        z, y, x = (slice(int(indices.min()), int(indices.max()) + 1) for indices, _ in kernels)
        array = self.volume.read((z, y, x))
        for axis, (indices, weights) in enumerate(kernels):
            array = _sample_axis(array, axis, indices, weights, (z, y, x)[axis].start)
        return array


def low_passed(volume: Volume, voxel_size_angstrom: float, resolution_angstrom: float) -> Volume:
    """Return ``volume`` on its own grid without detail finer than ``resolution_angstrom``.

    It goes through a grid whose Nyquist limit is that resolution and back, so any box can be read on its own.

    Parameters
    ----------
    volume
        Source, axis order (z, y, x).
    voxel_size_angstrom
        Edge of its voxel in Å.
    resolution_angstrom
        Finest detail to keep in Å; up to twice the voxel size there is nothing to remove.
    """
    coarse = resolution_angstrom / 2
    if coarse <= voxel_size_angstrom:
        return volume
    smaller = ResampledVolume(volume, voxel_size_angstrom, coarse)
    return ResampledVolume(smaller, coarse, voxel_size_angstrom, target_shape=volume.shape)


def on_grid(
    volume: Volume,
    voxel_size_angstrom: float,
    wanted_voxel_size_angstrom: float,
    low_pass_angstrom: float | None = None,
) -> tuple[Volume, float]:
    """Return ``volume`` at about the wanted voxel size, and the voxel size it then has, in Å.

    Within `SAME_GRID_TOLERANCE` the volume is returned as it is with its own voxel size: positions computed with
    that size carry no error, and the network sees objects at most 2 % too large or too small. Detail finer than
    ``low_pass_angstrom`` is removed first.
    """
    if low_pass_angstrom is not None:
        volume = low_passed(volume, voxel_size_angstrom, low_pass_angstrom)
    if abs(voxel_size_angstrom / wanted_voxel_size_angstrom - 1.0) <= SAME_GRID_TOLERANCE:
        return volume, voxel_size_angstrom
    return ResampledVolume(volume, voxel_size_angstrom, wanted_voxel_size_angstrom), wanted_voxel_size_angstrom
