"""What a ``tomograms.star`` says, however incomplete it is: what it lacks is what a check looks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryosiam.errors import InputError
from cryosiam.integrations.star.check.words import OPTICS, PIXEL_SIZE, SIZES
from cryosiam.integrations.star.star_file import StarBlock, read_star

_TOMOGRAM_FILES = (
    "rlnTomoReconstructedTomogram",
    "rlnTomoReconstructedTomogramDenoised",
    "rlnTomoReconstructedTomogramHalf1",
)
_DUMMIES = ("dummy_tiltseries.mrc", "dummy.mrc")


@dataclass(frozen=True)
class ListedTomogram:
    """A row of ``tomograms.star``; None for what it does not say.

    Parameters
    ----------
    name
        ``rlnTomoName``.
    unbinned_size_xyz
        Size (x, y, z) in pixels of the tilt series.
    pixel_size_angstrom
        Pixel size of the tilt series.
    binning
        ``rlnTomoTomogramBinning``.
    optics
        Values of kV, Cs and Q0 and the pixel size, by column.
    file
        The tomogram's file: as written where that exists, else relative to the project.
    """

    name: str
    unbinned_size_xyz: tuple[float, float, float] | None
    pixel_size_angstrom: float | None
    binning: float | None
    optics: Mapping[str, float]
    file: Path | None

    @property
    def voxel_size_angstrom(self) -> float | None:
        """Voxel size of the reconstruction."""
        if self.pixel_size_angstrom is None or self.binning is None:
            return None
        return self.pixel_size_angstrom * self.binning


@dataclass(frozen=True)
class ListedTomograms:
    """A ``tomograms.star``.

    Parameters
    ----------
    path
        The file.
    rows
        Its tomograms.
    columns
        Columns of its global block.
    has_dummy_series
        True where its tilt series are dummies, as Warp writes them beside particles that it cut out.
    """

    path: Path
    rows: tuple[ListedTomogram, ...]
    columns: frozenset[str]
    has_dummy_series: bool = False

    def named(self, name: str) -> ListedTomogram | None:
        """Return the tomogram of that name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, ListedTomogram]:
        return {row.name: row for row in self.rows}

    @property
    def names(self) -> frozenset[str]:
        """Names of all tomograms."""
        return frozenset(row.name for row in self.rows)

    @property
    def is_relion4(self) -> bool:
        """True where tilt series stand in the file itself, as RELION 4 has it."""
        return "rlnTomoTiltSeriesName" in self.columns and "rlnTomoTiltSeriesStarFile" not in self.columns

    @property
    def has_sizes(self) -> bool:
        """True where it has columns of sizes."""
        return set(SIZES) <= self.columns


def read_listed_tomograms(path: Path) -> ListedTomograms:
    """Read a ``tomograms.star``, complete or not.

    Raises
    ------
    InputError
        If the file cannot be read or has no block ``data_global`` with names.
    """
    block = read_star(path).block("global")
    if block is None or "rlnTomoName" not in block:
        raise InputError(f"{path} has no data_global with rlnTomoName; give RELION's tomograms.star")
    names = block.text("rlnTomoName")
    rows = tuple(_row(path, block, number, name) for number, name in enumerate(names))
    series = block.text("rlnTomoTiltSeriesName") if "rlnTomoTiltSeriesName" in block else []
    dummies = any(Path(name).name in _DUMMIES for name in series)
    return ListedTomograms(path, rows, frozenset(block.columns), dummies)


def _row(path: Path, block: StarBlock, number: int, name: str) -> ListedTomogram:
    size = [_value(block, column, number) for column in SIZES]
    optics = {column: _value(block, column, number) for column in (*OPTICS, PIXEL_SIZE)}
    return ListedTomogram(
        name=name,
        unbinned_size_xyz=(size[0], size[1], size[2]) if None not in size else None,  # type: ignore[arg-type]
        pixel_size_angstrom=_value(block, PIXEL_SIZE, number),
        binning=_value(block, "rlnTomoTomogramBinning", number),
        optics={column: value for column, value in optics.items() if value is not None},
        file=_file(path, block, number),
    )


def _value(block: StarBlock, column: str, row: int) -> float | None:
    if column not in block:
        return None
    try:
        value = float(str(block.columns[column][row]))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _file(path: Path, block: StarBlock, row: int) -> Path | None:
    for column in _TOMOGRAM_FILES:
        if column in block:
            return in_project(path, str(block.columns[column][row]))
    return None


def in_project(star: Path, written: str) -> Path:
    """Return a file that a STAR file names: paths are relative to the project's root, which holds the STAR file.

    The current folder is tried first, then every folder above the STAR file; where there is none, the path as written.
    """
    given = Path(written)
    if given.is_absolute():
        return given
    for root in (Path(), *star.resolve().parents):
        if (root / given).is_file():
            return root / given
    return given
