"""Species from MRC density maps, whose grey scales, headers and contents are not to be trusted."""

from __future__ import annotations

import threading
import warnings
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.simulation.density_symmetry import point_group_of_density
from cryosiam.simulation.species import SMOOTHING_VOXELS, Species, species_from_density

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_CEILING: Final = 1.3
_BODY_SHARE: Final = 0.2
_OWN_BODY_SHARE: Final = 0.3
_TWIN_SHARE: Final = 0.3
_PLAUSIBLE_VOXEL_ANGSTROM: Final = (0.1, 100.0)
_MIN_EDGE_VOXELS: Final = 4
_READING = threading.Lock()


def species_from_map(
    path: Path | str,
    name: str,
    voxel_size_angstrom: float,
    *,
    map_voxel_size_angstrom: float | None = None,
    inverted: bool = False,
    bulk_density: float = 1.0,
) -> Species:
    """Read a species from an MRC map (``.mrc``, ``.map``, ``.gz`` and ``.bz2`` of them).

    Grey scales of maps are arbitrary, so the map is scaled to make its dense part (95th percentile of the
    body) ``bulk_density``. Of a map with several bodies of like size, as of two complexes side by side, the largest is
    kept.

    Parameters
    ----------
    path
        MRC file.
    name
        Class name, without underscores.
    voxel_size_angstrom
        Voxel size wanted.
    map_voxel_size_angstrom
        The map's voxel size where its header is wrong or silent.
    inverted
        True where protein is low in the map.
    bulk_density
        Density of the dense part, bulk protein = 1; about 1.25 for a ribosome.

    Raises
    ------
    InputError
        If the file cannot be read as a map in three dimensions, gives no plausible voxel size, holds numbers that are
        not finite, or is constant.
    """
    values, header_voxel = read_map(path)
    source_voxel = _source_voxel(path, header_voxel, map_voxel_size_angstrom)
    values = values * np.float32(-1 if inverted else 1)
    values -= np.median(values)
    if not values.max() > 0:
        hint = "leave out" if inverted else "set"
        raise InputError(f"{path} has no voxel above its median, so its contrast is wrong; {hint} inverted.")
    values = _resampled(_one_body(values), source_voxel / voxel_size_angstrom)
    body = values > _BODY_SHARE * np.percentile(values[values > 0.05 * values.max()], 95)
    dense = float(np.percentile(values[body], 95))
    density = np.clip(values / dense, 0, _CEILING) * bulk_density
    try:
        species = species_from_density(name, density, voxel_size_angstrom)
    except ValueError as problem:
        raise InputError(f"{path} gives no particle ({problem}); check its voxel size and contrast.") from None
    return replace(species, symmetry=point_group_of_density(species.density))


def read_map(path: Path | str) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Read an MRC map.

    Returns
    -------
    tuple
        ``(z, y, x)`` float32, and the header's voxel size (x, y, z) in Å, zeros where it is silent.

    Raises
    ------
    InputError
        If it cannot be read, is no volume, holds numbers that are not finite, or is constant.
    """
    import mrcfile

    try:
        # Old programs leave out parts of the header; what is missing then shows in the data or the voxel size.
        with _READING, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            with mrcfile.open(path, permissive=True) as file:
                if file.data is None:
                    raise ValueError("its header is not of that format, or data are missing")
                values = np.array(file.data)
                axes = (int(file.header.mapc), int(file.header.mapr), int(file.header.maps))
                voxel = tuple(float(file.voxel_size[axis]) for axis in "xyz")
    except FileNotFoundError:
        raise InputError(f"{path} is not there; give the path of an MRC map.") from None
    except (OSError, ValueError, EOFError, zlib.error) as problem:
        raise InputError(f"{path} cannot be read as an MRC map ({problem}); give another file.") from problem
    if values.ndim != 3 or min(values.shape) < _MIN_EDGE_VOXELS or np.iscomplexobj(values):
        raise InputError(f"{path} is no density map: its data are {values.dtype} of shape {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds values that are not finite; give a map without NaN and infinity.")
    if values.min() == values.max():
        raise InputError(f"{path} is constant, so it shows no particle; give another map.")
    if sorted(axes) == [1, 2, 3] and axes != (1, 2, 3):
        # Columns, rows and sections run along crystal axes that need not be x, y, z.
        values = values.transpose([2 - axes.index(axis) for axis in (3, 2, 1)])
    return values.astype(np.float32), (voxel[0], voxel[1], voxel[2])


def _source_voxel(path: Path | str, header: tuple[float, float, float], given: float | None) -> float:
    """Return the map's voxel size: the one given, or the header's if it can be true."""
    if given is not None:
        return given
    low, high = _PLAUSIBLE_VOXEL_ANGSTROM
    if not all(low <= edge <= high for edge in header):
        raise InputError(f"{path} has no plausible voxel size in its header; give map_voxel_size_angstrom.")
    if header == (1.0, 1.0, 1.0):
        raise InputError(
            f"{path} says 1 Å per voxel, which programs also write when they do not know; give map_voxel_size_angstrom."
        )
    if max(header) > 1.01 * min(header):
        edges = " x ".join(f"{edge:.3g}" for edge in header)
        raise InputError(f"{path} has voxels of {edges} Å, which are no cubes; give a map with cubic voxels.")
    return float(np.mean(header))


def _one_body(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blank all that is nearer to another large body than to the largest one."""
    labels, count = ndimage.label(values > _OWN_BODY_SHARE * values.max(), np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = int(sizes.argmax())
    twins = [label for label in np.flatnonzero(sizes > _TWIN_SHARE * sizes[largest]) if label != largest]
    if not twins:
        return values
    to_own = ndimage.distance_transform_edt(labels != largest)
    to_others = ndimage.distance_transform_edt(~np.isin(labels, twins))
    return np.where(to_own <= to_others, values, np.float32(0))


def _resampled(values: NDArray[np.float32], zoom: float) -> NDArray[np.float32]:
    """Resample by a factor about the first voxel's centre, low-passed where voxels grow."""
    if zoom < 1:
        values = ndimage.gaussian_filter(values, SMOOTHING_VOXELS * float(np.sqrt(1 / zoom**2 - 1)))
    if abs(zoom - 1) < 1e-4:
        return values
    shape = tuple(int(np.floor((edge - 1) * zoom)) + 1 for edge in values.shape)
    out: NDArray[np.float32] = ndimage.affine_transform(values, np.full(3, 1 / zoom), output_shape=shape, order=3)
    return out
