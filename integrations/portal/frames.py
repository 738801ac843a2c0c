"""Pixel sizes and unbinned sizes from metadata files of the CryoET Data Portal.

A run's folder holds ``TiltSeries/<id>/tiltseries_metadata.json`` and
``Reconstructions/VoxelSpacing<Å>/Tomograms/<id>/tomogram_metadata.json``. The first states the pixel size of the tilt
series, the second voxel size and size of the tomogram. The portal has no unbinned tomogram: its size is that of the
tomogram in pixels of the tilt series, and need not be a whole number.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.known import KnownTomogram

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.integrations.handoff.frames import PickedTomogram

_TILT_SERIES: Final = "tiltseries_metadata.json"
_TOMOGRAM: Final = "tomogram_metadata.json"
_TOLERANCE: Final = 5e-3
_IDENTITY: Final = [[float(row == column) for column in range(4)] for row in range(4)]


def read_portal_tomograms(folder: Path, picked: Sequence[PickedTomogram]) -> tuple[KnownTomogram, ...]:
    """Return what the metadata under a folder state of every run that they name.

    Parameters
    ----------
    folder
        Folder of a run or a data set, as downloaded.
    picked
        The tomograms that were picked: among several of a run, the one of the same voxel size and size counts.

    Raises
    ------
    InputError
        If there are no such files, one is damaged, those of a run disagree, or the tomogram was shifted or turned.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the folder of a run or data set from the data portal")
    series = _by_run(folder, _TILT_SERIES)
    tomograms = _by_run(folder, _TOMOGRAM)
    if not series:
        raise InputError(f"there is no {_TILT_SERIES} under {folder}; download it with the data, or give its folder")
    return tuple(_known(run, _pixel_size(run, series[run]), tomograms.get(run, {}), picked) for run in sorted(series))


_Files = dict["Path", dict[str, Any]]


def _by_run(folder: Path, name: str) -> dict[str, _Files]:
    runs: dict[str, _Files] = {}
    for path in sorted(folder.rglob(name)):
        content = _content(path)
        runs.setdefault(_text(content, "run_name", path), {})[path] = content
    return runs


def _known(run: str, pixel_size: float, files: _Files, picked: Sequence[PickedTomogram]) -> KnownTomogram:
    fitting = {path: content for path, content in files.items() if any(_fits(content, path, p) for p in picked)}
    sizes = {}
    for path, content in (fitting or files).items():
        voxel_size, size = _number(content, "voxel_spacing", path), _size(content, path)
        x, y, z = (count * voxel_size / pixel_size for count in size)
        sizes[(x, y, z)] = path, content
    if len(sizes) != 1:
        return KnownTomogram(run, pixel_size)
    (unbinned, (path, content)), *_ = sizes.items()
    _refuse_moved(path, content)
    return KnownTomogram(run, pixel_size, unbinned, binning=_number(content, "voxel_spacing", path) / pixel_size)


def _pixel_size(run: str, files: _Files) -> float:
    sizes = {round(_number(content, "pixel_spacing", path), 6) for path, content in files.items()}
    if len(sizes) > 1:
        raise InputError(
            f"run '{run}' has tilt series of {' and '.join(f'{size:g}' for size in sorted(sizes))} Å per pixel in the "
            "portal's metadata; give --tilt-series-pixel-size and --tomogram-size of the one that was picked"
        )
    return sizes.pop()


def _fits(content: dict[str, Any], path: Path, picked: PickedTomogram) -> bool:
    voxel_size = _number(content, "voxel_spacing", path)
    return (
        picked.voxel_size_angstrom is not None
        and picked.size_xyz == _size(content, path)
        and abs(voxel_size - picked.voxel_size_angstrom) <= _TOLERANCE * voxel_size
    )


def _refuse_moved(path: Path, content: dict[str, Any]) -> None:
    """Refuse a tomogram whose centre is not where its alignment has it."""
    offset = content.get("offset") or {}
    if any(offset.get(axis) for axis in "xyz") or content.get("affine_transformation_matrix", _IDENTITY) != _IDENTITY:
        raise InputError(
            f"{path} says that the tomogram was shifted or turned against its alignment, so its centre is not that of "
            "the tilt series; give --tilt-series-pixel-size and --tomogram-size of the volume that RELION will use"
        )


def _size(content: dict[str, Any], path: Path) -> tuple[int, int, int]:
    size = content.get("size")
    if not isinstance(size, dict):
        raise InputError(f"{path} has no 'size'; download it again")
    x, y, z = (int(_number(size, axis, path)) for axis in "xyz")
    return x, y, z


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a whole JSON file ({error}); download it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is JSON but not metadata of the data portal; download it again")
    return content


def _text(content: dict[str, Any], key: str, path: Path) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{path} has no '{key}'; download it again")
    return value


def _number(content: dict[str, Any], key: str, path: Path) -> float:
    value = content.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise InputError(f"'{key}' in {path} is not a number above zero; correct it")
    return float(value)
