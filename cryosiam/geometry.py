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


def relion_positions(
    positions_angstrom: ArrayLike,
    origins_angstrom: ArrayLike,
    subtomogram_rotations: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Apply RELION's ``rlnOrigin{X,Y,Z}Angst`` to positions: ``position - S @ origin``.

    RELION 4 and 5 measure origins in the frame of the subtomogram (``particle_set.cpp``, ``getPosition``); adding
    ``S @ o`` to a position and ``o`` to its origin changes nothing.

    Parameters
    ----------
    positions_angstrom, origins_angstrom
        ``(n, 3)`` positions and origins (x, y, z) in Å.
    subtomogram_rotations
        ``(n, 3, 3)`` matrices ``S`` of ``rlnTomoSubtomogram{Rot,Tilt,Psi}``; the identity for None.
    """
    origins = np.asarray(origins_angstrom, dtype=np.float64).reshape(-1, 3)
    if subtomogram_rotations is not None:
        origins = np.einsum("nij,nj->ni", np.asarray(subtomogram_rotations, np.float64), origins)
    return np.asarray(positions_angstrom, dtype=np.float64).reshape(-1, 3) - origins


def dynamo_pixels(positions_angstrom: ArrayLike, voxel_size_angstrom: float) -> NDArray[np.float64]:
    """Turn positions into the coordinates (x, y, z) of a Dynamo table, columns 24 to 26.

    They count voxels from the corner of the first one, so that voxel centres are semi-integers (Dynamo's wiki, *Volume
    center*; in the ``crop.tbl`` that Dynamo writes all are).
    """
    return np.asarray(positions_angstrom, dtype=np.float64).reshape(-1, 3) / voxel_size_angstrom + 0.5


def positions_from_dynamo_pixels(pixels: ArrayLike, voxel_size_angstrom: float) -> NDArray[np.float64]:
    """Invert :func:`dynamo_pixels`."""
    return (np.asarray(pixels, dtype=np.float64).reshape(-1, 3) - 0.5) * voxel_size_angstrom


def dynamo_euler_deg(rotations: ArrayLike) -> NDArray[np.float64]:
    """Turn object -> tomogram matrices (``(n, 3, 3)``) into Dynamo's tdrot, tilt, narot (``(n, 3)`` degrees).

    A point ``r`` of the object lies at ``inv(m) r`` in the tomogram, ``m = Rz(narot) Rx(tilt) Rz(tdrot)`` (Dynamo's
    wiki, *Table convention*). A lattice of an aligned table shows it: under this rule alone the z axes stand on the
    surface and the neighbours of a particle lie in six directions (``tests/integrations/star``).
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock", category=UserWarning)
        return Rotation.from_matrix(np.asarray(rotations, np.float64)).inv().as_euler("zxz", degrees=True)


def rotations_from_dynamo_euler(angles_deg: ArrayLike) -> NDArray[np.float64]:
    """Turn Dynamo's tdrot, tilt, narot (``(n, 3)`` degrees) into object -> tomogram matrices (``(n, 3, 3)``)."""
    return Rotation.from_euler("zxz", np.asarray(angles_deg, np.float64), degrees=True).inv().as_matrix()


def volume_centre_index(size: int) -> int:
    """Return the voxel index that reconstruction rotates about: ``size // 2`` along each axis."""
    return size // 2
