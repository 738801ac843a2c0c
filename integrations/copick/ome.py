"""Read OME-Zarr volumes: voxel size, facts of the acquisition, voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.domain import Contrast, Hand, MissingWedge
from cryosiam.errors import InputError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.zarr_volume import CACHE_BYTES, ZarrVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

ATTRIBUTE = "cryosiam"
"""Key of our own facts in a group's attributes."""

COMPANION = "companion_of"
"""Among those, type of the tomogram that this one goes with: a half of it, its truth. It is input only when named."""

ISOTROPY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Acquisition:
    """What a group's attributes say of how its tomogram came about.

    Parameters
    ----------
    contrast, wedge, defocus_um, hand
        As in `cryosiam.domain.Tomogram`.
    """

    contrast: Contrast = Contrast.UNKNOWN
    wedge: MissingWedge | None = None
    defocus_um: float | None = None
    hand: Hand | None = None


def open_group(store: Any, where: str) -> Any:
    """Return the Zarr group in ``store``.

    Raises
    ------
    InputError
        If it was written by the newer copick format, or there is no group.
    """
    import zarr

    # The store's own `in` would look for "zarr/json".
    if store.fs.exists(f"{store.path}/zarr.json"):
        raise InputError(
            f"{where} is in the newer Zarr v3 format of copick 2, which copick 1 cannot read; "
            "write it again as OME-Zarr 0.4"
        )
    try:
        return zarr.open_group(store, mode="r")
    except ValueError as error:
        raise InputError(f"{where} holds no Zarr group; it was not written to its end, write it again") from error


def read_volume(group: Any, where: str, cache_bytes: int = CACHE_BYTES) -> tuple[ZarrVolume, float]:
    """Return the full-resolution volume of a group and its voxel size in Å; ``cache_bytes`` as in `ZarrVolume`.

    Raises
    ------
    InputError
        If the voxel size is absent, not positive or not isotropic, or the array is not a volume of real numbers.
    """
    path, voxel_size = _scale(group.attrs.asdict(), where)
    try:
        array = group[path]
    except KeyError as error:
        raise InputError(f"{where} has no array '{path}'; it was not written to its end, write it again") from error
    if len(array.shape) != 3 or 0 in array.shape or np.dtype(array.dtype).kind not in "fiu":
        raise InputError(
            f"array '{path}' of {where} has shape {array.shape} and type {array.dtype}; "
            "a volume of numbers (z, y, x) is needed"
        )
    return ZarrVolume(array, where, cache_bytes), voxel_size


def read_acquisition(group: Any, where: str) -> Acquisition:
    """Return our own facts about a tomogram; all unknown where there are none.

    Raises
    ------
    InputError
        If they are damaged.
    """
    facts = group.attrs.asdict().get(ATTRIBUTE, {})
    try:
        wedge = facts.get("wedge")
        hand = facts.get("hand")
        defocus = facts.get("defocus_um")
        return Acquisition(
            contrast=Contrast(facts.get("contrast", "unknown")),
            wedge=MissingWedge(float(wedge["tilt_min_deg"]), float(wedge["tilt_max_deg"]), str(wedge["tilt_axis"]))
            if wedge
            else None,
            defocus_um=None if defocus is None else float(defocus),
            hand=Hand(hand) if hand else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the attribute '{ATTRIBUTE}' of {where} is damaged ({error}); correct or remove it"
        ) from error


def _scale(attributes: dict[str, Any], where: str) -> tuple[str, float]:
    """Return the path of the full-resolution array and its voxel size in Å."""
    absent = f"{where} states no voxel size (OME-Zarr 'multiscales' scale); write it with copick, which adds it"
    try:
        multiscale = attributes["multiscales"][0]
        dataset = multiscale["datasets"][0]
        transforms = [*dataset["coordinateTransformations"], *multiscale.get("coordinateTransformations", [])]
        scales = [np.array(t["scale"], dtype=np.float64) for t in transforms if t["type"] == "scale"]
        path, axes = str(dataset["path"]), multiscale.get("axes", [])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(absent) from error
    if not scales or any(scale.shape != (3,) for scale in scales):
        raise InputError(absent)
    return path, _isotropic(np.prod(scales, axis=0) * _units(axes, where), where)


def _units(axes: list[Any], where: str) -> NDArray[np.float64]:
    """Return Å per unit along z, y, x."""
    with logging_kept():
        from copick.util.ome import UNITFACTOR

    names = tuple(str(axis.get("name")) if isinstance(axis, dict) else str(axis) for axis in axes)
    if names not in ((), ("z", "y", "x")):
        raise InputError(f"{where} has axes {', '.join(names)}; z, y, x are needed, in this order")
    units = [axis.get("unit", "angstrom") if isinstance(axis, dict) else "angstrom" for axis in axes] or [
        "angstrom"
    ] * 3
    unknown = [unit for unit in units if unit not in UNITFACTOR]
    if unknown:
        raise InputError(f"{where} gives its voxel size in '{unknown[0]}'; write it in angstrom or nanometer")
    return np.array([UNITFACTOR[unit] for unit in units], dtype=np.float64)


def _isotropic(sizes: NDArray[np.float64], where: str) -> float:
    text = " x ".join(f"{size:g}" for size in sizes[::-1])
    if not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise InputError(f"{where} has voxel size {text} Å; it must be greater than zero, correct the metadata")
    if np.ptp(sizes) > ISOTROPY_TOLERANCE * sizes.min():
        raise InputError(f"{where} has voxels of {text} Å, which are not cubes; resample it to one voxel size")
    return float(sizes[0]) if np.ptp(sizes) == 0 else float(math.fsum(sizes) / 3)
