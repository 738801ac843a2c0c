"""What rules look at: the file, the program it is meant for, and what is known of its tomograms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.integrations.star.check.finding import Program

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.integrations.star.check.layout import Layout
    from cryosiam.integrations.star.check.tomograms import ListedTomograms
    from cryosiam.integrations.star.star_file import StarBlock, StarFile

CENTRED = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
CORNER = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
NATIVE_M = ("wrpCoordinateX1", "wrpCoordinateY1")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
ORIGINS_PIXELS = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
NAME = "rlnTomoName"
MICROGRAPH = "rlnMicrographName"
IMPORT_FILE = "rlnTomoImportParticleFile"
PARTICLES_FILE = "rlnTomoParticlesFile"
TOMOGRAMS_FILE = "rlnTomoTomogramsFile"


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
    """

    path: Path
    program: Program
    layout: Layout
    star: StarFile | None
    tomograms: ListedTomograms | None = None
    voxel_size_angstrom: float | None = None

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
    def table(self) -> StarBlock | None:
        """The table of particles: ``data_particles``, or the first table that has coordinates."""
        if self.star is None:
            return None
        with_places = [block for block in self.star.blocks if {*CENTRED, *CORNER, *NATIVE_M} & set(block.columns)]
        named = [block for block in with_places if block.name == "particles"]
        return next(iter(named + with_places), None)

    @cached_property
    def optics(self) -> StarBlock | None:
        """The table of optics groups."""
        return None if self.star is None else self.star.block("optics")

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
        return numbers_of(self.table, column) if self.has(column) else np.empty(0)

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
