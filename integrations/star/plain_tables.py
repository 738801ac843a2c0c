"""Read Dynamo tables and CSV files as blocks of text cells."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.star_file import StarBlock, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_dynamo_table(path: Path) -> StarBlock:
    """Read a Dynamo table (``.tbl``): a row per particle, its columns named as Dynamo's wiki names them.

    Columns behind the 35th are left out. A complex number, as old versions wrote it, gives its real part.

    Raises
    ------
    InputError
        If the file cannot be read, or its rows are not those of a table.
    """
    names = [column.name for column in load_dialect("dynamo").particles.columns]
    text = read_text(path)
    rows = [line.split() for line in text.splitlines()]
    rows = [row for row in rows if row]
    lengths = set(map(len, rows))
    if not rows or min(lengths) < _LAST_PLACE:
        raise InputError(f"{path} is not a Dynamo table: it has no rows of {len(names)} columns")
    if len(lengths) > 1:
        number = next(number for number, row in enumerate(rows) if len(row) != len(rows[0]))
        raise InputError(
            f"row {number + 1} of {path} has {len(rows[number])} columns, the first has {len(rows[0])}; correct it, or "
            "wait until the program that writes it is done"
        )
    if "i" in text:
        rows = [[_real(cell) for cell in row] for row in rows]
    return _block(path, names[: len(rows[0])], list(zip(*rows, strict=True)))


_LAST_PLACE = 26
"""Column of the last coordinate."""


def read_csv_table(path: Path) -> StarBlock:
    """Read a file of columns between commas, the first row of which names them.

    Raises
    ------
    InputError
        If the file cannot be read, or a row has another number of cells than there are columns.
    """
    rows = [row for row in csv.reader(read_text(path).splitlines()) if row]
    if not rows or len(set(rows[0])) < len(rows[0]):
        raise InputError(f"{path} has no first row that names each column once; correct it")
    heading, *rows = rows
    for number, row in enumerate(rows, start=2):
        if len(row) != len(heading):
            raise InputError(f"row {number} of {path} has {len(row)} cells for {len(heading)} columns; correct it")
    columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * len(heading)
    return _block(path, heading, columns)


def read_number_names(path: Path) -> dict[str, str]:
    """Return the tomogram of every number in a Dynamo table map file (``1 tomogram.mrc`` in each line).

    Raises
    ------
    InputError
        If the file cannot be read, or a line of it is not a number and a name.
    """
    rows = [line.split(maxsplit=1) for line in read_text(path).splitlines() if line.strip()]
    if not all(len(row) == 2 and row[0].isdigit() for row in rows):
        raise InputError(f"{path} is not a table map file: its lines must be a number and a tomogram's file")
    return {row[0]: row[1].strip() for row in rows}


def _block(path: Path, names: Sequence[str], columns: Sequence[Sequence[str]]) -> StarBlock:
    table = {name: np.array(cells, dtype=object) for name, cells in zip(names, columns, strict=False)}
    return StarBlock("", table, True, path)


def _real(cell: str) -> str:
    if not cell.endswith("i"):
        return cell
    try:
        return repr(complex(cell[:-1] + "j").real)
    except ValueError:
        return cell
