"""Write STAR tables after a dialect, and STAR files as they were read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.errors import InputError
from cryosiam.pipeline.storage import storage_errors, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.integrations.star.dialect import Block, Column, Layout

Value = str | int | float
Table = Mapping[str, "Sequence[Value] | NDArray[Any]"]


def write_star(path: Path, dialect: Layout, tables: Mapping[str, Table]) -> None:
    """Write ``tables`` (block name -> column name -> values) as ``dialect`` says, atomically.

    Raises
    ------
    InputError
        If a text cannot stand in a STAR file.
    StorageError
        If the file cannot be written.
    ValueError
        If a table does not fit the dialect: a column is missing, unknown, of another length, not finite or out of
        bounds. RELION reads such files without a word and takes 0.
    """
    unknown = set(tables) - {block.name for block in dialect.blocks}
    if unknown:
        raise ValueError(f"dialect {dialect.name} has no block {sorted(unknown)}")
    missing = [block.name for block in dialect.blocks if block.required and block.name not in tables]
    if missing:
        raise ValueError(f"dialect {dialect.name} needs the blocks {missing}")
    parts = [(block, _cells(block, tables[block.name])) for block in dialect.blocks if block.name in tables]
    with storage_errors("cannot write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(f"# CryoSiam, STAR dialect {dialect.name}: {dialect.summary}\n")
            for block, cells in parts:
                stream.writelines(_lines(block, cells))


_Cells = list[tuple["Column", list[Any]]]


def _cells(block: Block, table: Table) -> _Cells:
    """Return the columns that are there, in the order of the dialect, checked and ready to be formatted."""
    unknown = set(table) - {column.name for column in block.columns}
    missing = [column.name for column in block.columns if column.required and column.name not in table]
    if unknown or missing:
        raise ValueError(f"block {block.name}: unknown columns {sorted(unknown)}, missing columns {missing}")
    cells = [(column, _column(column, table[column.name])) for column in block.columns if column.name in table]
    lengths = {column.name: len(values) for column, values in cells}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"block {block.name}: columns are shorter or longer than others: {lengths}")
    return cells


def _column(column: Column, values: Sequence[Value] | NDArray[Any]) -> list[Any]:
    if column.type == "string":
        texts = [str(value) for value in values]
        for text in set(texts):
            _refuse_text(column, text)
        return texts
    numbers = np.asarray(values, dtype=np.float64)
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high)))
    if len(wrong):
        raise ValueError(f"{column.name} is {numbers[wrong[0]]}, which is not a number between {low} and {high}")
    if column.type == "integer":
        integers: list[Any] = np.asarray(values).astype(np.int64).tolist()
        return integers
    rounded: list[Any] = (np.round(numbers, column.decimals) + 0.0).tolist()  # + 0.0: no minus zero
    return rounded


def _refuse_text(column: Column, value: str) -> None:
    if not value or any(c.isspace() or c in "\"'#" for c in value) or value.startswith(("_", "loop_", "data_")):
        raise InputError(f"'{value}' cannot stand in a STAR file ({column.name}); rename it without spaces or quotes")


def _lines(block: Block, cells: _Cells) -> Iterator[str]:
    formats = [{"string": "%s", "integer": "%d"}.get(column.type, f"%.{column.decimals}f") for column, _ in cells]
    yield f"\ndata_{block.name}\n\n"
    if block.rows == "one":
        for (column, values), form in zip(cells, formats, strict=True):
            yield f"_{column.name}  {form % values[0]}\n"
        return
    yield "loop_\n"
    for number, (column, _) in enumerate(cells, start=1):
        yield f"_{column.name} #{number}\n"
    row = "  ".join(formats) + "\n"
    yield from map(row.__mod__, zip(*(values for _, values in cells), strict=True))
