"""Write tables after a dialect, and STAR files as they were read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.pipeline.storage import storage_errors, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.integrations.star.dialect import Block, Column, Layout
    from cryosiam.integrations.star.star_file import StarBlock

Value = str | int | float
Table = Mapping[str, "Sequence[Value] | NDArray[Any]"]
_Cells = list[tuple["Column", list[Any]]]
_PLAIN: Final = re.compile(r"""(?!_|loop_|data_)[^\s"'#,]+""")


def write_star(path: Path, dialect: Layout, tables: Mapping[str, Table]) -> None:
    """Write ``tables`` (block name -> column name -> values) as ``dialect`` says, atomically.

    Raises
    ------
    InputError
        If a text cannot stand in such a file.
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
    _write_lines(path, _all_lines(dialect, parts))


def write_blocks(path: Path, blocks: Sequence[StarBlock]) -> None:
    """Write blocks as they were read: the same names, columns and cells, in the same order.

    Raises
    ------
    InputError
        If a cell holds both kinds of quotes where neither can stand around it.
    StorageError
        If the file cannot be written.
    """
    _write_lines(path, [line for block in blocks for line in _block_lines(block)])


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with storage_errors("cannot write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(lines)


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
            refuse_text(text, column.name)
        return texts
    numbers = np.asarray(values, dtype=np.float64)
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high)))
    if len(wrong):
        raise ValueError(f"{column.name} is {numbers[wrong[0]]}, which is not a number between {low} and {high}")
    if column.type == "integer":
        return _listed(np.asarray(values).astype(np.int64))
    if column.decimals is None:
        return _listed(numbers)
    return _listed(np.round(numbers, column.decimals) + 0.0)  # + 0.0: no minus zero


def _listed(values: NDArray[Any]) -> list[Any]:
    cells: list[Any] = values.tolist()
    return cells


def refuse_text(value: str, what: str) -> None:
    """Refuse a text that readers of STAR files or of tables would take apart.

    Raises
    ------
    InputError
        If it is empty, holds white space, quotes, commas or ``#``, or starts like a label.
    """
    if _PLAIN.fullmatch(value) is None:
        raise InputError(f"'{value}' cannot stand in a STAR file ({what}); rename it without spaces, commas or quotes")


def _all_lines(layout: Layout, parts: Sequence[tuple[Block, _Cells]]) -> Iterator[str]:
    if layout.format == "star":
        yield f"# CryoSiam, STAR dialect {layout.name}: {layout.summary}\n"
        for block, cells in parts:
            yield from _star_lines(block, cells)
        return
    separator = "," if layout.format == "csv" else " "
    for _, cells in parts:
        if layout.format == "csv":
            yield separator.join(column.name for column, _ in cells) + "\n"
        yield from _rows(cells, separator)


def _star_lines(block: Block, cells: _Cells) -> Iterator[str]:
    yield f"\ndata_{block.name}\n\n"
    if block.rows == "one":
        for column, values in cells:
            yield f"_{column.name}  {_format(column) % values[0]}\n"
        return
    yield "loop_\n"
    for number, (column, _) in enumerate(cells, start=1):
        yield f"_{column.name} #{number}\n"
    yield from _rows(cells, "  ")


def _rows(cells: _Cells, separator: str) -> Iterator[str]:
    row = separator.join(_format(column) for column, _ in cells) + "\n"
    return map(row.__mod__, zip(*(values for _, values in cells), strict=True))


def _format(column: Column) -> str:
    if column.type == "float":
        return "%r" if column.decimals is None else f"%.{column.decimals}f"
    return "%s" if column.type == "string" else "%d"


def _block_lines(block: StarBlock) -> Iterator[str]:
    columns = [[_quoted(cell, name) for cell in block.text(name)] for name in block.columns]
    yield f"\ndata_{block.name}\n\n"
    if not block.is_loop:
        yield from (f"_{name}  {cells[0]}\n" for name, cells in zip(block.columns, columns, strict=True))
        return
    yield "loop_\n"
    yield from (f"_{name} #{number}\n" for number, name in enumerate(block.columns, start=1))
    yield from ("  ".join(row) + "\n" for row in zip(*columns, strict=True))


def _quoted(cell: str, name: str) -> str:
    """Return a cell as it must stand in the file, within quotes only where it would be taken apart without."""
    plain = cell and not any(c.isspace() for c in cell) and cell[0] not in "'\"#_" and cell != "loop_"
    if plain and not cell.startswith("data_"):
        return cell
    for quote in "'\"":
        if not any(part and part[0].isspace() for part in cell.split(quote)[1:]) and not cell.endswith(quote):
            return f"{quote}{cell}{quote}"
    raise InputError(f"{name} holds {cell}, which no quotes can stand around; shorten it")
