"""What rules look at: the file, the program it is meant for, and what is known of its tomograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.integrations.star.check.density_look import DensityLook, look_at_density
from cryosiam.integrations.star.check.finding import Program
from cryosiam.integrations.star.check.places import Places, plain_name
from cryosiam.integrations.star.check.words import (
    CENTRED,
    CORNER,
    IMPORT_FILE,
    MICROGRAPH,
    NAME,
    NATIVE_M,
    PARTICLES_FILE,
    PIXEL_SIZE,
    TOMOGRAMS_FILE,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.integrations.star.check.layout import BlockLayout, Layout
    from cryosiam.integrations.star.check.tomograms import ListedTomogram, ListedTomograms
    from cryosiam.integrations.star.star_file import StarBlock, StarFile


class Kind(StrEnum):
    """What a STAR file holds."""

    PARTICLES = "particles"
    OPTIMISATION_SET = "an optimisation set"
    IMPORT_LIST = "a list of coordinate files"
    TOMOGRAMS = "a list of tomograms"
    OTHER = "something else"


@dataclass(frozen=True)
class Context:
    """A file to be checked.

    Parameters
    ----------
    path
        The file.
    program
        The program it is meant for.
    layout
        How its lines lie.
    star
        Its tables, or None where they cannot be read.
    tomograms
        The tomograms.star that goes with it, where one was given or is named by an optimisation set.
    voxel_size_angstrom
        What coordinates in tomogram voxels are counted in, where the user said so.
    given_frames
        Tomograms by plain name, where files were given beside tomograms.star or in its place.
    """

    path: Path
    program: Program
    layout: Layout
    star: StarFile | None
    tomograms: ListedTomograms | None = None
    voxel_size_angstrom: float | None = None
    given_frames: Mapping[str, ListedTomogram] | None = None

    @property
    def frames(self) -> Mapping[str, ListedTomogram]:
        """Tomograms by plain name: of tomograms.star, or of files that the user gave."""
        if self.given_frames is not None:
            return self.given_frames
        return {} if self.tomograms is None else {plain_name(row.name): row for row in self.tomograms.rows}

    @cached_property
    def kind(self) -> Kind:
        """What the file holds."""
        columns = {column for block in self.layout.blocks for column in block.columns}
        if PARTICLES_FILE in columns or TOMOGRAMS_FILE in columns:
            return Kind.OPTIMISATION_SET
        if IMPORT_FILE in columns:
            return Kind.IMPORT_LIST
        if columns & {*CENTRED, *CORNER, *NATIVE_M}:
            return Kind.PARTICLES
        return Kind.TOMOGRAMS if self.layout.block("global") is not None else Kind.OTHER

    @cached_property
    def read_blocks(self) -> list[BlockLayout]:
        """The blocks that the program reads: those it knows by name, or the first."""
        blocks = self.layout.blocks
        if self.program in (Program.WARP, Program.M) and blocks and not self.joins_optics:
            return [block for block in blocks if block.is_loop][:1]
        known = ("particles",) if self.program is Program.SCIPION else ("general", "optics", "particles")
        if self.kind is Kind.TOMOGRAMS:
            known = ("global",)
        return [block for block in blocks if block.name in known] or blocks[:1]

    @cached_property
    def table(self) -> StarBlock | None:
        """The table of particles: ``data_particles``, or the first table that has coordinates."""
        if self.star is None:
            return None
        with_places = [block for block in self.star.blocks if {*CENTRED, *CORNER, *NATIVE_M} & set(block.columns)]
        named = [block for block in with_places if block.name == "particles"]
        return next(iter(named + with_places), None)

    @property
    def is_particles(self) -> bool:
        """True where there are rows of particles to speak of."""
        return self.kind is Kind.PARTICLES and self.count > 0

    @property
    def count(self) -> int:
        """Number of particles."""
        return 0 if self.table is None else len(self.table)

    @property
    def is_native_m(self) -> bool:
        """True for a table of M itself."""
        return self.has(*NATIVE_M)

    @cached_property
    def places(self) -> Places:
        """Where the particles lie, read in every way."""
        return Places.of(self)

    @cached_property
    def density(self) -> DensityLook:
        """What the tomograms' density says of the places."""
        return look_at_density(self)

    @cached_property
    def optics(self) -> StarBlock | None:
        """The table of optics groups."""
        return None if self.star is None else self.star.block("optics")

    @property
    def has_optics(self) -> bool:
        """True where the table of optics groups has rows."""
        return self.optics is not None and len(self.optics) > 0

    @property
    def joins_optics(self) -> bool:
        """True where Warp and M join optics to particles: the first block has a name, and one is data_optics."""
        return bool(self.layout.blocks[0].name) and self.layout.block("optics") is not None

    @property
    def block(self) -> str | None:
        """Name of the block of particles."""
        return None if self.table is None else self.table.name

    def has(self, *columns: str) -> bool:
        """Tell whether the particles have all these columns."""
        return self.table is not None and all(column in self.table for column in columns)

    def has_any(self, *columns: str) -> bool:
        """Tell whether the particles have one of these columns."""
        return self.table is not None and any(column in self.table for column in columns)

    def text(self, column: str) -> list[str]:
        """Return a column of the particles as text; empty where there is none."""
        return self.table.text(column) if self.table is not None and column in self.table else []

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of the particles as numbers; NaN for what is none, empty where there is no such column."""
        if column not in self._numbers:
            self._numbers[column] = numbers_of(self.table, column)
        return self._numbers[column]

    @cached_property
    def _numbers(self) -> dict[str, NDArray[np.float64]]:
        return {}

    @property
    def name_column(self) -> str | None:
        """The column by which the program tells tomograms apart, or None where there is none."""
        order = {
            Program.WARP: (MICROGRAPH, NAME),
            Program.M: (MICROGRAPH, NAME),
            Program.RELION31: (MICROGRAPH,),
            Program.SCIPION: (MICROGRAPH, NAME),
        }.get(self.program, (NAME,))
        return next((column for column in order if self.has(column)), None)

    @cached_property
    def stated_pixel_sizes(self) -> list[tuple[str, float]]:
        """Pixel sizes of coordinates that columns of a RELION 3.0 table state: (column, Å), one of each column."""
        found = []
        detector, magnification = self.numbers("rlnDetectorPixelSize"), self.numbers("rlnMagnification")
        if len(detector) and len(magnification) and np.isfinite(detector[0] / magnification[0]):
            found.append(("rlnDetectorPixelSize", float(detector[0] / magnification[0] * 1e4)))
        elif len(sizes := self.numbers("rlnPixelSize")) and np.isfinite(sizes[0]):
            found.append(("rlnPixelSize", float(sizes[0])))
        return found

    @property
    def pixel_size_of_m(self) -> float | None:
        """Pixel size by which M multiplies coordinates, or None where it finds none."""
        if not self.joins_optics and (stated := self.stated_pixel_sizes) and stated[0][0] != "rlnPixelSize":
            return stated[0][1]
        optics = numbers_of(self.optics, "rlnImagePixelSize")
        sizes = optics if len(optics) else self.numbers("rlnImagePixelSize")
        return float(sizes[0]) if len(sizes) and np.isfinite(sizes[0]) else None

    @property
    def voxel_size_told(self) -> float | None:
        """What the program multiplies coordinates by in place of the tomogram's voxel size, or None."""
        if self.program is Program.M and self.pixel_size_of_m is not None:
            return self.pixel_size_of_m
        stated = [size for column, size in self.stated_pixel_sizes]
        return self.voxel_size_angstrom or (stated[0] if stated and self.program is not Program.RELION31 else None)

    @property
    def pixel_size_angstrom(self) -> float | None:
        """Pixel size of the tilt series: of tomograms.star, of the optics, or of the particles; None if unknown."""
        listed = [] if self.tomograms is None else [row.pixel_size_angstrom for row in self.tomograms.rows]
        optics = numbers_of(self.optics, PIXEL_SIZE).tolist()
        return next((size for size in (*listed, *optics, *self.numbers(PIXEL_SIZE)[:1].tolist()) if size), None)

    @cached_property
    def names(self) -> list[str]:
        """Name of the tomogram of every particle, as the program reads it."""
        return [] if self.name_column is None else self.text(self.name_column)


def numbers_of(block: StarBlock | None, column: str) -> NDArray[np.float64]:
    """Return a column as numbers; NaN for what is none."""
    if block is None or column not in block:
        return np.empty(0)
    cells = block.text(column)
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return np.array([_number(cell) for cell in cells], dtype=np.float64)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
