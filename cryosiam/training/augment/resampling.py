"""Patches at another voxel size: grey values interpolated, labels taken from the nearest voxel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cryosiam.geometry import volume_centre_index
from cryosiam.simulation.fast.targets import boundary_and_distance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

GREY: Final = ("noisy", "clean")
"""Names of the arrays that hold grey values; all others are labels."""

Interpolation = Literal["linear", "cubic"]


class VoxelSizeRecipe(BaseModel):
    """Voxel sizes other than the one that is stated: magnifications are off by some per cent, and objects vary.

    Attributes
    ----------
    chance
        Share of patches that are changed.
    spread
        How far the voxel size is off at most, as a share of itself, to both sides.
    interpolation
        Of grey values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chance: float = Field(default=0.5, ge=0, le=1)
    spread: float = Field(default=0.1, ge=0, le=0.5)
    interpolation: Interpolation = "cubic"


def mirrored(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return voxel indices in range for any indices of an axis that goes on as its mirror image (d c b a | a b c d)."""
    folded = indices % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def resampled(
    arrays: Mapping[str, NDArray[np.generic]],
    spacing: float,
    size_zyx: tuple[int, int, int],
    interpolation: Interpolation = "cubic",
) -> dict[str, NDArray[np.generic]]:
    """Sample arrays at another spacing about their common centre, voxel ``n // 2``, which stays the centre.

    Beyond the arrays' faces they go on as their mirror images, grey values and labels alike.

    Parameters
    ----------
    arrays
        ``(z, y, x)`` arrays of one shape; those named in :data:`GREY` are interpolated, of all others the nearest
        voxel is taken, so that only labels occur that were there. ``boundary`` and ``distance`` are lengths in voxels
        and thus measured anew from ``instances``, where these are given; a ``distance`` of integers is in half voxels.
    spacing
        Distance of the samples in voxels: above 1, objects become smaller.
    size_zyx
        Samples along each axis.
    interpolation
        Linear, or cubic convolution (Keys, IEEE Trans. Acoust. Speech Signal Process. 1981, a = -1/2).

    Returns
    -------
    dict
        Arrays of shape ``size_zyx`` and of the dtypes that were given.
    """
    shape = next(iter(arrays.values())).shape
    places = [_places(n, m, spacing) for n, m in zip(shape, size_zyx, strict=True)]
    nearest = np.ix_(*(mirrored(np.rint(at).astype(np.int64), n) for at, n in zip(places, shape, strict=True)))
    matrices = [_interpolation_matrix(at, n, interpolation) for at, n in zip(places, shape, strict=True)]
    made = {
        name: _interpolated(array, matrices).astype(array.dtype) if name in GREY else array[nearest]
        for name, array in arrays.items()
    }
    if "instances" in made and spacing != 1:
        _measure_edges(made)
    return made


def _places(length: int, samples: int, spacing: float) -> NDArray[np.float64]:
    """Return where along an axis samples are taken."""
    steps = np.arange(samples, dtype=np.float64) - volume_centre_index(samples)
    places: NDArray[np.float64] = volume_centre_index(length) + steps * spacing
    return places


def _measure_edges(arrays: dict[str, NDArray[np.generic]]) -> None:
    """Replace boundary and distance by those of the instances."""
    boundary, distance = boundary_and_distance(arrays["instances"].astype(np.int32))
    if "boundary" in arrays:
        arrays["boundary"] = boundary.astype(arrays["boundary"].dtype)
    if "distance" in arrays:
        stored = arrays["distance"].dtype
        arrays["distance"] = (2 * distance if stored.kind in "iu" else distance).astype(stored)


def _interpolated(array: NDArray[np.generic], matrices: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    along_z, along_y, along_x = matrices
    values = along_y @ (np.asarray(array, np.float32) @ along_x.T)
    return (along_z @ values.reshape(len(values), -1)).reshape(len(along_z), len(along_y), len(along_x))


def _interpolation_matrix(places: NDArray[np.float64], length: int, kind: Interpolation) -> NDArray[np.float32]:
    """Return the ``(samples, length)`` matrix that interpolates one axis."""
    offsets = np.arange(-1, 3)
    base = np.floor(places).astype(np.int64)
    distance = np.abs(places[:, None] - base[:, None] - offsets)
    if kind == "linear":
        weights = np.maximum(1 - distance, 0)
    else:
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    matrix = np.zeros((len(places), length))
    np.add.at(matrix, (np.arange(len(places))[:, None], mirrored(base[:, None] + offsets, length)), weights)
    return matrix.astype(np.float32)
