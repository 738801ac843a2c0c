"""Dialects: which columns a program wants of particles, their types and units. The dialects themselves are data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from cryosiam.errors import InputError

DIALECTS: Final = ("relion5", "relion5-import", "relion4", "relion31", "warp", "m", "scipion", "dynamo", "csv")
"""Dialects that picks are exported in, in the order help texts name them."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Entry):
    """A column of a table.

    Parameters
    ----------
    name
        Label without the leading underscore.
    type
        Type of its values.
    meaning, unit
        What it says, and in which unit.
    field
        Quantity it carries, a name of `cryosiam.integrations.star.fields` or `tables`.
    value
        What stands in every row, where the column carries no quantity.
    required
        False where the column may be absent.
    read_by
        Where the program reads it, or that it is our own.
    decimals
        Digits after the point of a float; None for as many as tell it from every other float.
    minimum, maximum
        Bounds, where there are any.
    """

    name: str
    type: Literal["string", "integer", "float"]
    meaning: str
    unit: str = ""
    field: str = ""
    value: float | None = None
    required: bool = True
    read_by: str = ""
    decimals: int | None = 6
    minimum: float | None = None
    maximum: float | None = None


class Block(_Entry):
    """A table and its columns in order.

    Parameters
    ----------
    name
        Name after ``data_``; may be empty.
    columns
        The columns.
    rows
        What a row stands for; ``one`` makes a list of labels and values.
    required
        False where the block may be absent.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Literal["particles", "tomograms", "optics", "one"] = "particles"
    required: bool = True


class Layout(_Entry):
    """A file: where it lies and its blocks in order.

    Parameters
    ----------
    name, summary
        Name of the dialect, and what the file is in one line.
    file
        Path inside the folder. ``{species}``, ``{tomogram}`` and ``{tomogram_file}`` make a file of each: class, or
        ``particles`` where one file holds all; name of the tomogram; its file without ending. ``{species_}`` is the
        class and ``_``, or nothing.
    blocks
        The tables.
    format
        STAR, columns between blanks without a heading, or columns between commas with one.
    required
        False where the file is left out if a value of it is unknown.
    """

    name: str
    summary: str
    file: str
    blocks: tuple[Block, ...]
    format: Literal["star", "table", "csv"] = "star"
    required: bool = True

    @property
    def per_species(self) -> bool:
        """Whether there is a file for each species."""
        return "{species" in self.file

    @property
    def per_tomogram(self) -> bool:
        """Whether there is a file for each tomogram."""
        return "{tomogram" in self.file


class Dialect(Layout):
    """Particles as one program wants them: the particle file and the files it needs beside it.

    Parameters
    ----------
    companions
        Further files.
    signs
        Columns by which a file is taken for this dialect.
    one_size
        Fact of the frames that must be the same for all tomograms of a file.
    """

    companions: tuple[Layout, ...] = ()
    signs: tuple[str, ...] = ()
    one_size: Literal["voxel_size_angstrom", "pixel_size_angstrom"] | None = None

    @property
    def particles(self) -> Block:
        """The block whose rows are particles."""
        return next(block for block in self.blocks if block.rows == "particles")

    def column(self, field: str) -> str | None:
        """Return the name of the particles' column that carries ``field``, or None."""
        return next((column.name for column in self.particles.columns if column.field == field), None)


@cache
def load_dialect(name: str) -> Dialect:
    """Return the dialect in ``schemas/star/<name>.yaml``.

    Raises
    ------
    InputError
        If there is no dialect of that name.
    """
    import yaml

    source = files("cryosiam.schemas").joinpath("star", f"{name}.yaml")
    if not source.is_file():
        raise InputError(f"there is no dialect '{name}'; choose one of {', '.join(DIALECTS)}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Dialect.model_validate(yaml.load(source.read_text(encoding="utf-8"), loader))
