"""Fill the free space of a specimen with particles, largest first, without overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.spatial.transform import Rotation

from cryosiam.geometry import volume_centre_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.simulation.species import Species

ORIENTATIONS = 36
"""Orientations in a species' template bank, each with its own position within the voxel."""

_CANDIDATES_PER_PARTICLE = 60


@dataclass(frozen=True)
class Placement:
    """Particles put into a specimen.

    Parameters
    ----------
    indices_zyx
        ``(n, 3)`` fractional voxel indices of the centres.
    rotations
        ``(n, 3, 3)`` object -> tomogram, acting on (x, y, z).
    names
        Species name of each.
    """

    indices_zyx: NDArray[np.float64]
    rotations: NDArray[np.float64]
    names: tuple[str, ...]


@njit(cache=True)
def rotate_cube(
    cube: NDArray[np.float32], rotation: NDArray[np.float64], shift_xyz: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Rotate a cube about its centre voxel ``n // 2`` and shift it, with trilinear interpolation.

    A point ``p`` (x, y, z from the centre) of the object lands at ``rotation @ p + shift_xyz``.
    """
    n = cube.shape[0]
    centre = n // 2
    out = np.zeros_like(cube)
    inverse = rotation.T
    for iz in range(n):
        for iy in range(n):
            for ix in range(n):
                dx = ix - centre - shift_xyz[0]
                dy = iy - centre - shift_xyz[1]
                dz = iz - centre - shift_xyz[2]
                x = inverse[0, 0] * dx + inverse[0, 1] * dy + inverse[0, 2] * dz + centre
                y = inverse[1, 0] * dx + inverse[1, 1] * dy + inverse[1, 2] * dz + centre
                z = inverse[2, 0] * dx + inverse[2, 1] * dy + inverse[2, 2] * dz + centre
                if x < 0 or y < 0 or z < 0 or x >= n - 1 or y >= n - 1 or z >= n - 1:
                    continue
                jx, jy, jz = int(x), int(y), int(z)
                fx, fy, fz = x - jx, y - jy, z - jz
                low = (cube[jz, jy, jx] * (1 - fx) + cube[jz, jy, jx + 1] * fx) * (1 - fy) + (
                    cube[jz, jy + 1, jx] * (1 - fx) + cube[jz, jy + 1, jx + 1] * fx
                ) * fy
                high = (cube[jz + 1, jy, jx] * (1 - fx) + cube[jz + 1, jy, jx + 1] * fx) * (1 - fy) + (
                    cube[jz + 1, jy + 1, jx] * (1 - fx) + cube[jz + 1, jy + 1, jx + 1] * fx
                ) * fy
                out[iz, iy, ix] = low * (1 - fz) + high * fz
    return out


@njit(cache=True)
def _place(
    occupied: NDArray[np.bool_],
    instances: NDArray[np.int32],
    candidates: NDArray[np.int64],
    orientations: NDArray[np.int64],
    offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    wanted: int,
    first_id: int,
) -> NDArray[np.int64]:
    """Try candidates in turn; stamp the mask of each that fits. Returns the indices of those used.

    A mask may leave the volume through its x and y faces, as at the edge of any field of view, but not through z.
    """
    nz, ny, nx = occupied.shape
    used = np.empty(wanted, np.int64)
    count = 0
    for c in range(candidates.shape[0]):
        if count == wanted:
            break
        z0, y0, x0 = candidates[c]
        if occupied[z0, y0, x0]:
            continue
        low, high = starts[orientations[c]], starts[orientations[c] + 1]
        fits = True
        for k in range(low, high):
            z, y, x = z0 + offsets[k, 0], y0 + offsets[k, 1], x0 + offsets[k, 2]
            if z < 0 or z >= nz:
                fits = False
                break
            if 0 <= y < ny and 0 <= x < nx and occupied[z, y, x]:
                fits = False
                break
        if not fits:
            continue
        for k in range(low, high):
            z, y, x = z0 + offsets[k, 0], y0 + offsets[k, 1], x0 + offsets[k, 2]
            if 0 <= y < ny and 0 <= x < nx:
                occupied[z, y, x] = True
                instances[z, y, x] = first_id + count
        used[count] = c
        count += 1
    return used[:count]


@njit(cache=True)
def add_cube(volume: NDArray[np.float32], cube: NDArray[np.float32], corner: NDArray[np.int64]) -> None:
    """Add a cube to a volume with its first voxel at ``corner`` (z, y, x), cut at the volume's faces."""
    n = cube.shape[0]
    nz, ny, nx = volume.shape
    for iz in range(max(0, -corner[0]), min(n, nz - corner[0])):
        for iy in range(max(0, -corner[1]), min(n, ny - corner[1])):
            for ix in range(max(0, -corner[2]), min(n, nx - corner[2])):
                volume[corner[0] + iz, corner[1] + iy, corner[2] + ix] += cube[iz, iy, ix]


def pack(
    density: NDArray[np.float32],
    instances: NDArray[np.int32],
    occupied: NDArray[np.bool_],
    species: Sequence[Species],
    occupancy: float,
    rng: np.random.Generator,
) -> Placement:
    """Put particles into the free voxels until their masks fill ``occupancy`` of them.

    Every species gets a random share of the volume (uniform on the simplex), so small ones are more numerous,
    as in cells (thesis section 3.3). What one species cannot use is not given to another.

    Parameters
    ----------
    density, instances, occupied
        ``(z, y, x)`` arrays that are added to: densities, ids from 1, and voxels that are taken.
    species
        Kinds to draw from.
    occupancy
        Share of the free voxels to fill.
    rng
        Source of all randomness.

    Returns
    -------
    Placement
        In order of their id in ``instances``.
    """
    free = np.flatnonzero(~occupied)
    budget = occupancy * len(free)
    shares = rng.dirichlet(np.ones(len(species))) if species else np.zeros(0)
    indices: list[NDArray[np.float64]] = []
    rotations: list[NDArray[np.float64]] = []
    names: list[str] = []
    for kind in sorted(zip(species, shares, strict=True), key=lambda pair: -pair[0].volume_voxels):
        one, share = kind
        wanted = round(budget * share / one.volume_voxels)
        if wanted == 0 or len(free) == 0:
            continue
        matrices, shifts, cubes = _template_bank(one, rng)
        offsets, starts = _mask_offsets(one, matrices, shifts, rng)
        chosen = free[rng.integers(0, len(free), wanted * _CANDIDATES_PER_PARTICLE)]
        candidates = np.stack(np.unravel_index(chosen, occupied.shape), axis=1)
        turns = rng.integers(0, len(matrices), len(candidates))
        used = _place(occupied, instances, candidates, turns, offsets, starts, wanted, len(names) + 1)
        half = volume_centre_index(one.density.shape[0])
        for position, turn in zip(candidates[used], turns[used], strict=True):
            add_cube(density, cubes[turn], position - half)
            indices.append(position + shifts[turn][::-1])
            rotations.append(matrices[turn])
            names.append(one.name)
    return Placement(
        np.array(indices, np.float64).reshape(-1, 3), np.array(rotations, np.float64).reshape(-1, 3, 3), tuple(names)
    )


def _template_bank(
    species: Species, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float32]]]:
    """Return rotations, shifts within the voxel (x, y, z) and the density in each of them."""
    matrices = Rotation.random(ORIENTATIONS, rng=rng).as_matrix()
    shifts = rng.uniform(-0.5, 0.5, (ORIENTATIONS, 3))
    cubes = [rotate_cube(species.density, m, s) for m, s in zip(matrices, shifts, strict=True)]
    return matrices, shifts, cubes


def _mask_offsets(
    species: Species, matrices: NDArray[np.float64], shifts: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the mask's voxels about the centre in each orientation, shuffled so that a misfit shows early."""
    half = volume_centre_index(species.mask.shape[0])
    solid = species.mask.astype(np.float32)
    lists = []
    for matrix, shift in zip(matrices, shifts, strict=True):
        offsets = np.argwhere(rotate_cube(solid, matrix, shift) > 0.5) - half
        lists.append(rng.permutation(offsets))
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    return np.concatenate(lists), starts
