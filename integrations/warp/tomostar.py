"""Warp's ``.tomostar``: the movies, angles and doses of a tilt series, before Warp or M refined them.

Warp takes its numbers only where the tilt series has no XML yet (the constructor of ``TiltSeries``, WarpLib); once it
was processed, the XML beside it holds the alignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.star.star_file import read_star
from cryosiam.integrations.warp.tilt_series_xml import WarpTiltSeries

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.integrations.star.star_file import StarBlock

ENDING: Final = ".tomostar"
_NEEDED: Final = ("wrpMovieName", "wrpAngleTilt", "wrpDose")


@dataclass(frozen=True)
class Tomostar:
    """What a ``.tomostar`` says.

    Parameters
    ----------
    movies
        Movie or image of every tilt, relative to the file's folder.
    tilt_series
        Angles, axis, offsets in Å and accumulated doses in e/Å², in the order of ``movies``; no tilt is left out.
    """

    movies: tuple[str, ...]
    tilt_series: WarpTiltSeries


def read_tomostar(path: Path) -> Tomostar:
    """Read a ``.tomostar``.

    Warp needs ``wrpMovieName``, ``wrpAngleTilt`` and ``wrpDose``. ``wrpAxisAngle`` is 0 where it is absent, and so are
    ``wrpAxisOffsetX`` and ``wrpAxisOffsetY`` where one of them is (``TiltSeries.InitializeFromTomoStar``, WarpLib).

    Raises
    ------
    InputError
        If the file is missing, is no STAR file, has no tilts, or a needed column is absent or holds no numbers.
    """
    block = read_star(path).blocks[0]
    absent = [name for name in _NEEDED if name not in block]
    if absent or not block.is_loop:
        raise InputError(
            f"{path} is not a .tomostar: its first table lacks {' and '.join(absent) or 'rows'}; give Warp's own file"
        )
    count = len(block)
    if not count:
        raise InputError(f"{path} lists no tilts; import the tilt series into Warp again")
    offsets = ("wrpAxisOffsetX", "wrpAxisOffsetY")
    shifted = all(name in block for name in offsets)
    return Tomostar(
        tuple(block.text("wrpMovieName")),
        WarpTiltSeries(
            tilt_angles_deg=block.numbers("wrpAngleTilt"),
            axis_angles_deg=_numbers_or_zeros(block, "wrpAxisAngle"),
            axis_offsets_angstrom=np.stack([block.numbers(name) for name in offsets], axis=1)
            if shifted
            else np.zeros((count, 2)),
            used=np.ones(count, bool),
            exposures_e_per_a2=block.numbers("wrpDose"),
            defocus_um=None,
            defocus_slope_inverted=False,
            ignored=(),
        ),
    )


def _numbers_or_zeros(block: StarBlock, name: str) -> NDArray[np.float64]:
    return block.numbers(name) if name in block else np.zeros(len(block))
