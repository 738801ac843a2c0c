"""The geometry contract: every conversion between voxels, Å and other programs' coordinates.

Arrays are (z, y, x); positions are (x, y, z) in Å. Voxel index ``i`` has its centre at ``i * voxel_size``, so
position 0 is the centre of the first voxel. No other module adds or subtracts half a voxel.
``docs/geometry.md`` states the contract in full.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def positions_from_indices(indices_zyx: ArrayLike, voxel_size_angstrom: float) -> NDArray[np.float64]:
    """Turn 0-based voxel indices into positions.

    Parameters
    ----------
    indices_zyx
        ``(n, 3)`` voxel indices (z, y, x); fractions allowed, integers are voxel centres.
    voxel_size_angstrom
        Edge of the voxel in Å.

    Returns
    -------
    NDArray
        ``(n, 3)`` positions (x, y, z) in Å.
    """
    indices = np.asarray(indices_zyx, dtype=np.float64).reshape(-1, 3)
    return np.ascontiguousarray(indices[:, ::-1] * voxel_size_angstrom)


def indices_from_positions(positions_angstrom: ArrayLike, voxel_size_angstrom: float) -> NDArray[np.float64]:
    """Turn positions (``(n, 3)``, (x, y, z) in Å) into fractional 0-based voxel indices (z, y, x)."""
    positions = np.asarray(positions_angstrom, dtype=np.float64).reshape(-1, 3)
    return np.ascontiguousarray(positions[:, ::-1] / voxel_size_angstrom)


def nearest_voxels(positions_angstrom: ArrayLike, voxel_size_angstrom: float) -> NDArray[np.int64]:
    """Return the voxel (z, y, x) whose centre is nearest to each position (``(n, 3)``, (x, y, z) in Å)."""
    return np.rint(indices_from_positions(positions_angstrom, voxel_size_angstrom)).astype(np.int64)


def binning_shift_angstrom(binning: int, unbinned_voxel_size_angstrom: float) -> float:
    """Return what to add to positions picked on a volume binned by averaging.

    Averaging ``n`` voxels puts the first binned centre ``(n - 1) / 2`` unbinned voxels into the volume.
    """
    return (binning - 1) / 2 * unbinned_voxel_size_angstrom


def relion5_centered_angstrom(
    positions_angstrom: ArrayLike,
    unbinned_size_xyz: ArrayLike,
    tilt_series_pixel_size_angstrom: float,
) -> NDArray[np.float64]:
    """Turn positions into RELION 5 ``rlnCenteredCoordinate{X,Y,Z}Angst``.

    ``(i * b - N / 2.0) * a`` with ``i * b * a`` the position in Å, ``N`` the unbinned tomogram size and ``a`` the
    tilt-series pixel size. The division is a float division for odd sizes too.

    Parameters
    ----------
    positions_angstrom
        ``(n, 3)`` positions (x, y, z) in Å.
    unbinned_size_xyz
        ``(3,)`` tomogram size ``rlnTomoSize{X,Y,Z}`` in unbinned pixels.
    tilt_series_pixel_size_angstrom
        ``rlnTomoTiltSeriesPixelSize``.

    Returns
    -------
    NDArray
        ``(n, 3)`` coordinates (x, y, z) in Å from the tomogram's centre.
    """
    positions = np.asarray(positions_angstrom, dtype=np.float64).reshape(-1, 3)
    centre = np.asarray(unbinned_size_xyz, dtype=np.float64) / 2.0 * tilt_series_pixel_size_angstrom
    return positions - centre


def positions_from_relion5_centered(
    centered_angstrom: ArrayLike,
    unbinned_size_xyz: ArrayLike,
    tilt_series_pixel_size_angstrom: float,
) -> NDArray[np.float64]:
    """Invert :func:`relion5_centered_angstrom`."""
    centered = np.asarray(centered_angstrom, dtype=np.float64).reshape(-1, 3)
    centre = np.asarray(unbinned_size_xyz, dtype=np.float64) / 2.0 * tilt_series_pixel_size_angstrom
    return centered + centre


def relion_euler_deg(rotations: ArrayLike) -> NDArray[np.float64]:
    """Turn object -> tomogram rotation matrices (``(n, 3, 3)``) into RELION rot, tilt, psi (``(n, 3)`` degrees).

    At tilt 0 and 180 only the sum of rot and psi matters; psi is 0 there.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock", category=UserWarning)
        return Rotation.from_matrix(np.asarray(rotations, np.float64)).inv().as_euler("ZYZ", degrees=True)


def rotations_from_relion_euler(angles_deg: ArrayLike) -> NDArray[np.float64]:
    """Turn RELION rot, tilt, psi (``(n, 3)`` degrees) into object -> tomogram matrices (``(n, 3, 3)``)."""
    return Rotation.from_euler("ZYZ", np.asarray(angles_deg, np.float64), degrees=True).inv().as_matrix()


def volume_centre_index(size: int) -> int:
    """Return the voxel index that reconstruction rotates about: ``size // 2`` along each axis."""
    return size // 2
