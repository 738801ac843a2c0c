"""Read RELION's ``tomograms.star``: names, unbinned sizes, pixel sizes, optics, files of the reconstructions.

RELION 5 writes one block ``data_global`` and a file per tilt series, RELION 4 and Warp write the tilt series into the
same file (tomogram_set.cpp of both versions reads ``global`` first). What is needed here is in ``data_global``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.known import KnownTomogram
from cryosiam.integrations.star.frame import Optics
from cryosiam.integrations.star.star_file import read_star

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.integrations.star.star_file import StarBlock

_NAME: Final = "rlnTomoName"
_SIZES: Final = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
_PIXEL_SIZE: Final = "rlnTomoTiltSeriesPixelSize"
_BINNING: Final = "rlnTomoTomogramBinning"
_OPTICS: Final = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


def read_tomograms(path: Path) -> tuple[KnownTomogram, ...]:
    """Return every tomogram of a ``tomograms.star``, in the order of the file.

    Parameters
    ----------
    path
        ``tomograms.star`` of RELION 5's Reconstruct Tomograms job, of RELION 4 or of Warp.

    Raises
    ------
    InputError
        If the file cannot be read, is not a ``tomograms.star``, lacks sizes or pixel sizes, or names a tomogram twice.
    """
    table = read_star(path).block("global")
    if table is None:
        raise InputError(f"{path} has no block data_global; give RELION's tomograms.star")
    missing = [name for name in (_NAME, *_SIZES, _PIXEL_SIZE) if name not in table]
    if missing:
        raise InputError(
            f"{path} has no {missing[0]}; give the tomograms.star of RELION's Reconstruct Tomograms job, "
            "not its tilt_series.star"
        )
    names = table.text(_NAME)
    if not names:
        raise InputError(f"{path} lists no tomograms; give the tomograms.star of RELION's Reconstruct Tomograms job")
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"{path} names tomogram '{double}' more than once; correct it")
    return _tomograms(path, table, names)


def _tomograms(path: Path, table: StarBlock, names: list[str]) -> tuple[KnownTomogram, ...]:
    geometry = np.stack([table.numbers(column) for column in (*_SIZES, _PIXEL_SIZE)], axis=1)
    for name, row in zip(names, geometry, strict=True):
        if not (row > 0).all():
            raise InputError(f"tomogram '{name}' in {path} has a size or pixel size that is not above zero; correct it")
    binning = table.numbers(_BINNING) if _BINNING in table else np.zeros(len(names))
    optics = _optics(table, names)
    files = {column: table.text(column) if column in table else [""] * len(names) for column in _FILES}
    return tuple(
        KnownTomogram(
            name=name,
            pixel_size_angstrom=float(geometry[row, 3]),
            unbinned_size_xyz=(float(geometry[row, 0]), float(geometry[row, 1]), float(geometry[row, 2])),
            binning=float(binning[row]) if binning[row] > 0 else None,
            optics=optics[row],
            tomogram_path=files[_WHOLE][row] or None,
            half_paths=_halves(files[_HALF_1][row], files[_HALF_2][row]),
            denoised_path=files[_DENOISED][row] or files[_DENOISED_EARLY][row] or None,
        )
        for row, name in enumerate(names)
    )


_WHOLE, _HALF_1, _HALF_2, _DENOISED, _DENOISED_EARLY = _FILES = (
    "rlnTomoReconstructedTomogram",
    "rlnTomoReconstructedTomogramHalf1",
    "rlnTomoReconstructedTomogramHalf2",
    "rlnTomoReconstructedTomogramDenoised",
    "rlnTomoDenoisedTomogram",
)


def _halves(first: str, second: str) -> tuple[str, str] | None:
    return (first, second) if first and second else None


def _optics(table: StarBlock, names: list[str]) -> list[Optics | None]:
    if any(column not in table for column in _OPTICS):
        return [None] * len(names)
    groups = table.text("rlnOpticsGroupName") if "rlnOpticsGroupName" in table else names
    values = zip(groups, names, *(table.numbers(column).tolist() for column in _OPTICS), strict=True)
    return [Optics(group or name, voltage, cs, contrast) for group, name, voltage, cs, contrast in values]
