"""STAR dialects: which columns a program wants, their types and units. The dialects themselves are data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cryosiam.errors import InputError

DIALECTS = ("relion5", "relion5-import", "relion4", "relion31", "warp", "m", "scipion", "dynamo", "csv")
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
        Quantity it carries, a name of ``cryosiam.integrations.star.fields``; empty where the caller gives the values.
    required
        False where the column may be absent.
    read_by
        Where the program reads it, or that it is our own.
    decimals
        Digits after the point of a float.
    minimum, maximum
        Bounds, where there are any.
    """

    name: str
    type: Literal["string", "integer", "float"]
    meaning: str
    unit: str = ""
    field: str = ""
    required: bool = True
    read_by: str = ""
    decimals: int = 6
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
        What a row stands for.
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
    file
        Path inside the folder; ``{species}`` and ``{tomogram}`` stand for names, and make a file of each.
    blocks
        The tables.
    """

    file: str
    blocks: tuple[Block, ...]


class Dialect(Layout):
    """Particles as one program wants them: the particle file and the files it needs beside it.

    Parameters
    ----------
    name
        Name of the dialect.
    summary
        What it is, in one line.
    companions
        Further files.
    """

    name: str
    summary: str
    companions: tuple[Layout, ...] = ()

    @property
    def particles(self) -> Block:
        """The block whose rows are particles."""
        return next(block for block in self.blocks if block.rows == "particles")


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
        raise InputError(f"there is no STAR dialect '{name}'; choose one of {', '.join(DIALECTS)}")
    return Dialect.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
