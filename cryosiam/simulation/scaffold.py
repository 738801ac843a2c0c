"""Membranes and filaments: the parts of a specimen that are not particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAFLET_DISTANCE_ANGSTROM: Final = 19.0
"""Head groups lie this far from the membrane's middle: about 40 Å peak to peak."""
MEMBRANE_HALF_THICKNESS_ANGSTROM: Final = 33.0
MICROTUBULE_RADIUS_ANGSTROM: Final = 125.0
ACTIN_RADIUS_ANGSTROM: Final = 38.0
NUCLEIC_RADIUS_ANGSTROM: Final = 12.0

_BLOB_REACH = 3.2


def membrane_profile(distance_angstrom: NDArray[np.floating], blur_angstrom: float = 0.0) -> NDArray[np.float32]:
    """Return the density of a lipid bilayer (bulk protein = 1) at distances from its middle.

    Head groups are denser than protein, tails lighter, their ends lighter still; ``blur_angstrom`` is the
    standard deviation of a Gaussian that limits the profile to the voxel size.
    """
    d = np.abs(distance_angstrom)
    profile = np.zeros(d.shape, np.float32)
    for height, middle, width in ((1.15, LEAFLET_DISTANCE_ANGSTROM, 6.5), (0.3, 9.0, 6.0)):
        wide = float(np.hypot(width, blur_angstrom))
        profile += height * width / wide * np.exp(-0.5 * ((d - middle) / wide) ** 2)
    return profile


def smooth_noise(shape: tuple[int, ...], scale_voxels: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return Gaussian noise of unit variance, correlated over ``scale_voxels``, made on a coarse grid."""
    step = max(1.0, scale_voxels / 2)
    coarse = rng.standard_normal([int(np.ceil(n / step)) + 4 for n in shape]).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, 1.2, mode="wrap")
    if step > 1:
        # Shift into the middle, so that the grid's edge is not seen.
        grid = np.meshgrid(*[np.arange(n) / step + 1.5 for n in shape], indexing="ij", sparse=True)
        field = ndimage.map_coordinates(coarse, np.broadcast_arrays(*grid), order=1)
    else:
        field = coarse[tuple(slice(0, n) for n in shape)]
    result: NDArray[np.float32] = ((field - field.mean()) / (field.std() + 1e-6)).astype(np.float32)
    return result


def add_membrane(
    density: NDArray[np.float32],
    semantic: NDArray[np.uint8],
    corner: tuple[int, int, int],
    distance_angstrom: NDArray[np.float32],
    blur_angstrom: float,
    class_index: int,
) -> None:
    """Draw a bilayer where ``distance_angstrom`` (a box of the volume at ``corner``) is small."""
    box = tuple(slice(c, c + n) for c, n in zip(corner, distance_angstrom.shape, strict=True))
    inside = (np.abs(distance_angstrom) < MEMBRANE_HALF_THICKNESS_ANGSTROM) & (semantic[box] == 0)
    density[box] += np.where(inside, membrane_profile(distance_angstrom, blur_angstrom), 0)
    semantic[box][inside] = class_index


def vesicle_distance(
    shape_zyx: tuple[int, int, int],
    centre_zyx: NDArray[np.float64],
    radii_zyx: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
    """Return a box (corner, signed distance in voxels) around a wobbly ellipsoid; radii in voxels."""
    reach = np.ceil(radii_zyx * 1.15 + 8).astype(int)
    low = np.maximum(np.floor(centre_zyx).astype(int) - reach, 0)
    high = np.minimum(np.floor(centre_zyx).astype(int) + reach + 1, shape_zyx)
    z, y, x = (
        (np.arange(low[a], max(high[a], low[a])) - centre_zyx[a]).reshape([-1 if i == a else 1 for i in range(3)])
        for a in range(3)
    )
    scaled = np.sqrt((z / radii_zyx[0]) ** 2 + (y / radii_zyx[1]) ** 2 + (x / radii_zyx[2]) ** 2) + 1e-6
    slope = np.sqrt((z / radii_zyx[0] ** 2) ** 2 + (y / radii_zyx[1] ** 2) ** 2 + (x / radii_zyx[2] ** 2) ** 2) + 1e-6
    distance = (scaled - 1) * scaled / slope
    if distance.size:
        distance = distance + 0.03 * radii_zyx.mean() * smooth_noise(distance.shape, radii_zyx.mean() * 0.7, rng)
    return (int(low[0]), int(low[1]), int(low[2])), distance.astype(np.float32)


def sheet_distance(
    shape_zyx: tuple[int, int, int], voxel_size_angstrom: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the distance in Å of every voxel from an undulating sheet through the volume, steep to the image plane."""
    azimuth, lean = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    normal = np.array([np.sin(lean), np.cos(lean) * np.sin(azimuth), np.cos(lean) * np.cos(azimuth)])
    through = np.array(shape_zyx) * rng.uniform(0.25, 0.75, 3)
    z, y, x = (
        ((np.arange(n) - through[a]) * normal[a]).reshape([-1 if i == a else 1 for i in range(3)])
        for a, n in enumerate(shape_zyx)
    )
    waves = smooth_noise(shape_zyx, 600 / voxel_size_angstrom, rng) * rng.uniform(10, 50)
    distance: NDArray[np.float32] = ((z + y + x) * voxel_size_angstrom + waves).astype(np.float32)
    return distance


def worm_like_chain(
    start_xyz: NDArray[np.float64],
    direction_xyz: NDArray[np.float64],
    length_angstrom: float,
    persistence_angstrom: float,
    step_angstrom: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return points (``(n, 3)``, x, y, z in Å) of a worm-like chain that grows both ways from its start."""
    halves = []
    for sign in (1.0, -1.0):
        steps = max(1, int(length_angstrom / 2 / step_angstrom))
        # <cos> over one step is exp(-step / persistence), so the mean squared kick is 2 step / persistence.
        kicks = rng.normal(0, np.sqrt(step_angstrom / persistence_angstrom), (steps, 3))
        tangent = sign * direction_xyz / np.linalg.norm(direction_xyz)
        points = np.empty((steps, 3))
        position = start_xyz.copy()
        for i in range(steps):
            tangent = tangent + kicks[i]
            tangent /= np.linalg.norm(tangent)
            position = position + step_angstrom * tangent
            points[i] = position
        halves.append(points)
    return np.concatenate([halves[1][::-1], start_xyz[None], halves[0]])


def _frames(path: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors normal to a path at each point, carried along without twist."""
    tangents = np.gradient(path, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normals = np.empty_like(path)
    normal = np.cross(tangents[0], [0.0, 0.0, 1.0] if abs(tangents[0, 2]) < 0.9 else [1.0, 0.0, 0.0])
    for i, tangent in enumerate(tangents):
        normal = normal - normal.dot(tangent) * tangent
        normal /= np.linalg.norm(normal)
        normals[i] = normal
    return normals, np.cross(tangents, normals)


def microtubule_subunits(path: NDArray[np.float64], step_angstrom: float) -> NDArray[np.float64]:
    """Return the centres of tubulin monomers: 13 protofilaments on a 3-start helix, 41 Å apart along each."""
    normals, binormals = _frames(path)
    along = np.arange(len(path)) * step_angstrom
    centres = []
    for protofilament in range(13):
        angle = 2 * np.pi * protofilament / 13
        heights = np.arange(protofilament * 41.0 * 1.5 / 13, along[-1], 41.0)
        index = np.minimum(np.rint(heights / step_angstrom).astype(int), len(path) - 1)
        centres.append(path[index] + 103.0 * (np.cos(angle) * normals[index] + np.sin(angle) * binormals[index]))
    return np.concatenate(centres)


def actin_subunits(path: NDArray[np.float64], step_angstrom: float) -> NDArray[np.float64]:
    """Return the centres of actin monomers: 27.5 Å rise and -166.7° turn, 17 Å from the axis."""
    normals, binormals = _frames(path)
    heights = np.arange(0.0, (len(path) - 1) * step_angstrom, 27.5)
    index = np.rint(heights / step_angstrom).astype(int)
    angle = np.deg2rad(-166.7) * np.arange(len(heights))
    outwards = np.cos(angle)[:, None] * normals[index] + np.sin(angle)[:, None] * binormals[index]
    centres: NDArray[np.float64] = path[index] + 17.0 * outwards
    return centres


@njit(cache=True)
def add_blobs(
    density: NDArray[np.float32],
    centres_zyx: NDArray[np.float64],
    sigma_voxels: float,
    amplitude: float,
) -> None:
    """Add a Gaussian at every centre (fractional voxel indices)."""
    nz, ny, nx = density.shape
    reach = _BLOB_REACH * sigma_voxels
    for c in range(centres_zyx.shape[0]):
        cz, cy, cx = centres_zyx[c]
        for z in range(max(0, int(np.ceil(cz - reach))), min(nz, int(cz + reach) + 1)):
            for y in range(max(0, int(np.ceil(cy - reach))), min(ny, int(cy + reach) + 1)):
                for x in range(max(0, int(np.ceil(cx - reach))), min(nx, int(cx + reach) + 1)):
                    r2 = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
                    density[z, y, x] += np.float32(amplitude * np.exp(-0.5 * r2 / sigma_voxels**2))


@njit(cache=True)
def tube_is_free(occupied: NDArray[np.bool_], path_zyx: NDArray[np.float64], radius_voxels: float) -> bool:
    """Say whether a tube about a path meets no taken voxel."""
    nz, ny, nx = occupied.shape
    for c in range(path_zyx.shape[0]):
        cz, cy, cx = path_zyx[c]
        for z in range(max(0, int(np.ceil(cz - radius_voxels))), min(nz, int(cz + radius_voxels) + 1)):
            for y in range(max(0, int(np.ceil(cy - radius_voxels))), min(ny, int(cy + radius_voxels) + 1)):
                for x in range(max(0, int(np.ceil(cx - radius_voxels))), min(nx, int(cx + radius_voxels) + 1)):
                    r2 = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
                    if r2 <= radius_voxels**2 and occupied[z, y, x]:
                        return False
    return True


@njit(cache=True)
def label_tube(
    semantic: NDArray[np.uint8], path_zyx: NDArray[np.float64], radius_voxels: float, class_index: int
) -> None:
    """Label the free voxels within a radius of a path (fractional voxel indices, spaced under a voxel)."""
    nz, ny, nx = semantic.shape
    for c in range(path_zyx.shape[0]):
        cz, cy, cx = path_zyx[c]
        for z in range(max(0, int(np.ceil(cz - radius_voxels))), min(nz, int(cz + radius_voxels) + 1)):
            for y in range(max(0, int(np.ceil(cy - radius_voxels))), min(ny, int(cy + radius_voxels) + 1)):
                for x in range(max(0, int(np.ceil(cx - radius_voxels))), min(nx, int(cx + radius_voxels) + 1)):
                    r2 = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
                    if r2 <= radius_voxels**2 and semantic[z, y, x] == 0:
                        semantic[z, y, x] = class_index
