"""Read RELION 5's ``tomograms.star``: names, unbinned sizes, pixel sizes, optics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT_COLUMNS = ("rlnTomoName", "rlnOpticsGroupName", "rlnTomoReconstructedTomogram")
_SIZES = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
_PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"


@dataclass(frozen=True)
class Optics:
    """Optics group of a tilt series.

    Parameters
    ----------
    name
        Name of the group.
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        As RELION states them.
    """

    name: str
    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float


@dataclass(frozen=True)
class UnbinnedFrame:
    """The unbinned tomogram that centred coordinates are measured in.

    Parameters
    ----------
    name
        Name of the tomogram in RELION.
    size_xyz
        Size (x, y, z) in unbinned pixels.
    pixel_size_angstrom
        Pixel size of the tilt series in Å.
    optics
        Optics, where they are known.
    """

    name: str
    size_xyz: tuple[float, float, float]
    pixel_size_angstrom: float
    optics: Optics | None = None


def read_tomograms_star(path: Path) -> dict[str, UnbinnedFrame]:
    """Return the frame of every tomogram, by its name and by the file name of its reconstruction without ending.

    Raises
    ------
    InputError
        If the file cannot be read or lacks sizes or pixel sizes.
    """
    frames: dict[str, UnbinnedFrame] = {}
    for row in _rows(path):
        frame = _frame(path, row)
        frames[frame.name] = frame
        reconstruction = row.get("rlnTomoReconstructedTomogram")
        if reconstruction:
            frames.setdefault(Path(str(reconstruction)).stem, frame)
    return frames


def _rows(path: Path) -> list[dict[str, Any]]:
    import starfile

    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=list(_TEXT_COLUMNS))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; give RELION's tomograms.star") from error
    except (ValueError, OSError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is not a STAR file ({error}); give RELION's tomograms.star") from error
    table = blocks.get("global")
    if table is None:
        raise InputError(f"{path} has no block data_global; give RELION 5's tomograms.star")
    rows: list[dict[str, Any]] = [table] if isinstance(table, dict) else table.to_dict("records")
    return rows


def _frame(path: Path, row: Mapping[str, Any]) -> UnbinnedFrame:
    missing = [name for name in ("rlnTomoName", *_SIZES, _PIXEL_SIZE) if name not in row]
    if missing:
        raise InputError(
            f"{path} has no {missing[0]}; give the tomograms.star of RELION's Reconstruct Tomograms job, "
            "not its tilt_series.star"
        )
    name = str(row["rlnTomoName"])
    try:
        x, y, z, pixel_size = (float(row[column]) for column in (*_SIZES, _PIXEL_SIZE))
    except (TypeError, ValueError) as error:
        raise InputError(f"tomogram '{name}' in {path} has a size that is not a number; correct it") from error
    if not all(math.isfinite(value) and value > 0 for value in (x, y, z, pixel_size)):
        raise InputError(f"tomogram '{name}' in {path} has a size or pixel size that is not above zero; correct it")
    return UnbinnedFrame(name, (x, y, z), pixel_size, _optics(row))


def _optics(row: Mapping[str, Any]) -> Optics | None:
    columns = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
    try:
        voltage, aberration, contrast = (float(row[column]) for column in columns)
    except (KeyError, TypeError, ValueError):
        return None
    if not all(math.isfinite(value) for value in (voltage, aberration, contrast)):
        return None
    return Optics(str(row.get("rlnOpticsGroupName") or row["rlnTomoName"]), voltage, aberration, contrast)
