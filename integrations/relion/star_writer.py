"""Write STAR tables after a dialect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cryosiam.errors import InputError
from cryosiam.pipeline.storage import storage_errors, write_text_whole

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.integrations.relion.dialect import Block, Column, Dialect

Value = str | int | float
Table = Mapping[str, Sequence[Value]]


def write_star(path: Path, dialect: Dialect, tables: Mapping[str, Table]) -> None:
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
    text = [f"# CryoSiam, STAR dialect {dialect.name}: {dialect.summary}\n"]
    for block in dialect.blocks:
        if block.name in tables:
            text.append(_block_text(block, tables[block.name]))
        elif not block.optional:
            raise ValueError(f"dialect {dialect.name} needs the block {block.name}")
    with storage_errors("cannot write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(path, "\n".join(text))


def _block_text(block: Block, table: Table) -> str:
    unknown = set(table) - {column.name for column in block.columns}
    missing = [column.name for column in block.columns if not column.optional and column.name not in table]
    if unknown or missing:
        raise ValueError(f"block {block.name}: unknown columns {sorted(unknown)}, missing columns {missing}")
    columns = [column for column in block.columns if column.name in table]
    cells = [[_cell(column, value) for value in table[column.name]] for column in columns]
    lines = [f"data_{block.name}", "", "loop_"]
    lines += [f"_{column.name} #{number}" for number, column in enumerate(columns, start=1)]
    lines += ["  ".join(row) for row in zip(*cells, strict=True)]
    return "\n".join(lines) + "\n"


def _cell(column: Column, value: Value) -> str:
    if column.type == "string":
        return _text(column, str(value))
    number = float(value)
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    if not math.isfinite(number) or not low <= number <= high:
        raise ValueError(f"{column.name} is {value}, which is not between {low} and {high}")
    if column.type == "integer":
        return str(int(value))
    return f"{round(number, column.decimals) + 0.0:.{column.decimals}f}"  # + 0.0: no minus zero


def _text(column: Column, value: str) -> str:
    if not value or any(c.isspace() or c in "\"'#" for c in value) or value.startswith(("_", "loop_", "data_")):
        raise InputError(f"'{value}' cannot stand in a STAR file ({column.name}); rename it without spaces or quotes")
    return value
