"""What images show besides the labelled objects: ice and small solutes, gold beads, and a carbon film."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy.special import erfc

from cryosiam.geometry import positions_from_indices
from cryosiam.simulation.species import SMOOTHING_VOXELS
from cryosiam.simulation.structures import PROTEIN_CONTRAST_VOLT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.slab import Slab

GOLD_CONTRAST_VOLT: Final = 25.0
"""Mean inner potential of gold (about 30 V) above that of ice."""

CARBON_ATOMS_PER_A3: Final = 0.1
"""Amorphous carbon of 2 g/cm³."""

CARBON_ATOM_VOLT_A3: Final = 120.2
"""Integral of one atom's potential: 47.878 V Å² times its scattering factor of 2.51 Å (Doyle and Turner 1968)."""

CARBON_POTENTIAL_VOLT: Final = 10.7
"""Mean inner potential of amorphous carbon, against vacuum (Harscher and Lichte 1998)."""

SOLUTE_SCALE_ANGSTROM: Final = 9.0
"""Standard deviation of the Gaussian that correlates the fluctuations of ice and small solutes."""

_HOLE_RADIUS_ANGSTROM: Final = 1e4
_BEAD_TRIES: Final = 50
_MISSES_IN_A_ROW: Final = 500


def background(
    sample: NDArray[np.bool_], std: float, voxel_size_angstrom: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the fluctuation of ice and small solutes: Gaussian, correlated, zero outside the sample.

    Parameters
    ----------
    sample
        ``(z, y, x)`` inside the slab.
    std
        Standard deviation, in units of bulk protein.
    voxel_size_angstrom
        Edge of the voxel.
    rng
        Source of randomness.
    """
    if std == 0:
        return np.zeros(sample.shape, np.float32)
    field = rng.standard_normal(sample.shape, np.float32)
    kernel = _kernel(SOLUTE_SCALE_ANGSTROM / voxel_size_angstrom)
    _smooth(field, kernel)
    field *= np.float32(std / (kernel**2).sum() ** 1.5)
    field *= sample
    return field


def carbon_film(
    slab: Slab, thickness_nm: float, edge: bool, voxel_size_angstrom: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a film of amorphous carbon under the slab's lower face.

    Its granularity is that of independent atoms (Poisson), limited to the voxel, so its power spectrum is white and
    shows the microscope's Thon rings. Real amorphous carbon is smoother at low resolution.

    Parameters
    ----------
    slab
        The film touches its lower face from outside, cut where the volume ends.
    thickness_nm
        Of the film, along z.
    edge
        The film covers about half of the field, to the rim of a hole of 2 µm. Otherwise it covers all of it, and the
        mean, which projects to a constant as an even slab does, is left out.
    voxel_size_angstrom
        Edge of the voxel.
    rng
        Source of randomness.

    Returns
    -------
    NDArray
        ``(z, y, x)`` float32, in units of bulk protein.
    """
    nz, ny, nx = slab.shape
    volume = np.zeros((nz, ny, nx), np.float32)
    top = np.minimum(slab.lower, slab.upper)
    bottom = top - thickness_nm * 10 / voxel_size_angstrom
    low, high = max(0, int(np.floor(bottom.min()))), min(nz, int(np.ceil(top.max())) + 1)
    cover = _beside_hole((ny, nx), voxel_size_angstrom, rng) if edge else np.ones((ny, nx), np.float32)
    if high <= low:
        return volume
    kernel = _kernel(SMOOTHING_VOXELS)
    atoms = CARBON_ATOMS_PER_A3 * voxel_size_angstrom**3
    atom_volt = CARBON_ATOM_VOLT_A3 / voxel_size_angstrom**3
    grain = rng.standard_normal((high - low, ny, nx), np.float32)
    _smooth(grain, kernel)
    grain *= np.float32(np.sqrt(atoms) * atom_volt / PROTEIN_CONTRAST_VOLT)
    if edge:
        grain += np.float32(CARBON_POTENTIAL_VOLT / PROTEIN_CONTRAST_VOLT)
    z = np.arange(low, high, dtype=np.float32)[:, None, None]
    layer = volume[low:high]
    np.clip(np.minimum(z + 0.5, top) - np.maximum(z - 0.5, bottom), 0, 1, out=layer)
    layer *= cover
    layer *= grain
    return volume


def add_gold(
    unlabelled: NDArray[np.float32],
    slab: Slab,
    count: int,
    diameter_nm: float,
    voxel_size_angstrom: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Add gold beads that touch the slab's faces from outside; where the volume ends, they reach into the slab.

    Parameters
    ----------
    unlabelled
        ``(z, y, x)`` added to, in units of bulk protein.
    slab
        Half of the beads, by chance, lie on each face.
    count, diameter_nm
        How many, and how wide. Beads that find no place clear of the others are left out.
    voxel_size_angstrom
        Edge of the voxel.
    rng
        Source of randomness.

    Returns
    -------
    NDArray
        ``(n, 3)`` centres (x, y, z) in Å.
    """
    nz, ny, nx = slab.shape
    radius = diameter_nm * 5 / voxel_size_angstrom
    centres: list[NDArray[np.float64]] = []
    misses = 0
    for _ in range(count * _BEAD_TRIES):
        if len(centres) == count or misses == _MISSES_IN_A_ROW:
            break
        misses += 1
        y, x = rng.uniform(0, ny - 1), rng.uniform(0, nx - 1)
        face, side = (slab.upper, 1) if rng.random() < 0.5 else (slab.lower, -1)
        z = np.clip(float(face[round(y), round(x)]) + side * radius, min(radius, nz / 2), max(nz - radius, nz / 2))
        centre = np.array([z, y, x])
        if all(np.linalg.norm(centre - other) > 2 * radius + 1 for other in centres):
            _add_sphere(unlabelled, centre, radius, GOLD_CONTRAST_VOLT / PROTEIN_CONTRAST_VOLT)
            centres.append(centre)
            misses = 0
    return positions_from_indices(np.array(centres).reshape(-1, 3), voxel_size_angstrom)


def _add_sphere(volume: NDArray[np.float32], centre_zyx: NDArray[np.float64], radius: float, value: float) -> None:
    """Add a ball, its edge limited to the voxel size; all lengths in voxels."""
    low = np.maximum(np.floor(centre_zyx - radius - 3), 0).astype(int)
    high = np.minimum(np.ceil(centre_zyx + radius + 4), volume.shape).astype(int)
    axes = [np.arange(a, b) - c for a, b, c in zip(low, high, centre_zyx, strict=True)]
    distance = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    volume[box] += (value / 2 * erfc((distance - radius) / (np.sqrt(2) * SMOOTHING_VOXELS))).astype(np.float32)


def _beside_hole(
    shape_yx: tuple[int, int], voxel_size_angstrom: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the share (0 to 1) of each column that the film covers, beside a hole whose rim crosses the centre."""
    ny, nx = shape_yx
    azimuth = rng.uniform(0, 2 * np.pi)
    offset = rng.uniform(-0.15, 0.15) * min(ny, nx)
    radius = _HOLE_RADIUS_ANGSTROM / voxel_size_angstrom
    y = np.arange(ny)[:, None] - ny / 2 + (radius + offset) * np.sin(azimuth)
    x = np.arange(nx)[None, :] - nx / 2 + (radius + offset) * np.cos(azimuth)
    cover: NDArray[np.float32] = np.clip(np.hypot(y, x) - radius + 0.5, 0, 1).astype(np.float32)
    return cover


def _kernel(sigma_voxels: float) -> NDArray[np.float32]:
    """Return a normalised Gaussian of odd length."""
    reach = max(1, int(np.ceil(3 * sigma_voxels)))
    values = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_voxels) ** 2)
    kernel: NDArray[np.float32] = (values / values.sum()).astype(np.float32)
    return kernel


def _smooth(field: NDArray[np.float32], kernel: NDArray[np.float32]) -> None:
    """Convolve a volume in place along all three axes, wrapping around, panel by panel."""
    panel_yx = np.empty((field.shape[1] + len(kernel), field.shape[2]), np.float32)
    row = np.empty(field.shape[2] + len(kernel), np.float32)
    panel_zx = np.empty((field.shape[0] + len(kernel), field.shape[2]), np.float32)
    for z in range(field.shape[0]):
        _smooth_rows(field[z], kernel, row)
        _smooth_columns(field[z], kernel, panel_yx)
    for y in range(field.shape[1]):
        _smooth_columns(field[:, y], kernel, panel_zx)


@njit(cache=True, nogil=True)
def _smooth_rows(panel: NDArray[np.float32], kernel: NDArray[np.float32], row: NDArray[np.float32]) -> None:
    n = panel.shape[1]
    reach = kernel.shape[0] // 2
    for i in range(panel.shape[0]):
        for j in range(n + 2 * reach):
            row[j] = panel[i, (j - reach) % n]
        for j in range(n):
            panel[i, j] = 0
        for k in range(kernel.shape[0]):
            weight = kernel[k]
            for j in range(n):
                panel[i, j] += weight * row[j + k]


@njit(cache=True, nogil=True)
def _smooth_columns(panel: NDArray[np.float32], kernel: NDArray[np.float32], copy: NDArray[np.float32]) -> None:
    n, m = panel.shape
    reach = kernel.shape[0] // 2
    for i in range(n + 2 * reach):
        source = (i - reach) % n
        for j in range(m):
            copy[i, j] = panel[source, j]
    for i in range(n):
        for j in range(m):
            panel[i, j] = 0
        for k in range(kernel.shape[0]):
            weight = kernel[k]
            for j in range(m):
                panel[i, j] += weight * copy[i + k, j]
