"""Read Dynamo tables and CSV files as blocks of text cells."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.star_file import StarBlock, collector_at_rest, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def read_dynamo_table(path: Path) -> StarBlock:
    """Read a Dynamo table (``.tbl``): a row per particle, its columns named as Dynamo's wiki names them.

    Columns that say nothing of places, orientations, scores or classes are left out. A complex number, as old versions
    wrote it, gives its real part.

    Raises
    ------
    InputError
        If the file cannot be read, or its rows are not those of a table.
    """
    text = read_text(path)
    with collector_at_rest():
        columns = _dynamo_columns(path, text)
    kept = [column.field != "" for column in load_dialect("dynamo").particles.columns]
    names = [column.name for column in load_dialect("dynamo").particles.columns]
    table = {name: cells for name, cells, keep in zip(names, columns, kept, strict=False) if keep}
    if "i" in text:
        table = {name: [_real(cell) for cell in cells] for name, cells in table.items()}
    return _block(path, table)


def _dynamo_columns(path: Path, text: str) -> list[Sequence[str]]:
    rows = [row for row in map(str.split, text.splitlines()) if row]
    lengths = set(map(len, rows))
    if not rows or min(lengths) < _LAST_PLACE:
        raise InputError(f"{path} is not a Dynamo table: its rows do not have {_LAST_PLACE} columns or more")
    if len(lengths) > 1:
        number = next(number for number, row in enumerate(rows) if len(row) != len(rows[0]))
        raise InputError(
            f"row {number + 1} of {path} has {len(rows[number])} columns, the first has {len(rows[0])}; correct it, or "
            "wait until the program that writes it is done"
        )
    return list(zip(*rows, strict=True))


_LAST_PLACE: Final = 26
"""Column of the last coordinate."""


def read_csv_table(path: Path) -> StarBlock:
    """Read a file of columns between commas, the first row of which names them.

    Raises
    ------
    InputError
        If the file cannot be read, or a row has another number of cells than there are columns.
    """
    text = read_text(path)
    with collector_at_rest():
        return _block(path, _csv_columns(path, text))


def _csv_columns(path: Path, text: str) -> dict[str, Sequence[str]]:
    lines = text.splitlines()
    split = csv.reader(lines) if '"' in text else (line.split(",") for line in lines if line)
    rows = [row for row in split if row]
    if not rows or len(set(rows[0])) < len(rows[0]):
        raise InputError(f"{path} has no first row that names each column once; correct it")
    heading = rows[0]
    if set(map(len, rows)) != {len(heading)}:
        number = next(number for number, row in enumerate(rows) if len(row) != len(heading))
        raise InputError(
            f"row {number + 1} of {path} has {len(rows[number])} cells for {len(heading)} columns; correct it"
        )
    del rows[0]
    return dict(zip(heading, zip(*rows, strict=True) if rows else [()] * len(heading), strict=True))


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


def _block(path: Path, table: Mapping[str, Sequence[str]]) -> StarBlock:
    return StarBlock("", {name: np.array(cells, dtype=object) for name, cells in table.items()}, True, path)


def _real(cell: str) -> str:
    if not cell.endswith("i"):
        return cell
    try:
        return repr(complex(cell[:-1] + "j").real)
    except ValueError:
        return cell
