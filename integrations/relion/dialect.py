"""STAR dialects: which columns a program wants, their types and units. The dialects themselves are data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Entry):
    """A column of a STAR table.

    Parameters
    ----------
    name
        Label without the leading underscore.
    type
        Type of its values.
    meaning, unit
        What it says, and in which unit.
    decimals
        Digits after the point of a float.
    minimum, maximum
        Bounds, where there are any.
    optional
        True where the column may be absent.
    """

    name: str
    type: Literal["string", "integer", "float"]
    meaning: str
    unit: str = ""
    decimals: int = 6
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False


class Block(_Entry):
    """A table: the block ``data_<name>`` and its columns in order."""

    name: str
    columns: tuple[Column, ...]
    optional: bool = False


class Dialect(_Entry):
    """A STAR file as one program wants it."""

    name: str
    file: str
    summary: str
    blocks: tuple[Block, ...]


@cache
def load_dialect(name: str) -> Dialect:
    """Return the dialect in ``schemas/star/<name>.yaml``."""
    import yaml

    text = files("cryosiam.schemas").joinpath("star", f"{name}.yaml").read_text(encoding="utf-8")
    return Dialect.model_validate(yaml.safe_load(text))
