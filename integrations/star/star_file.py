"""Read any STAR file, ours or not. All cells stay text until numbers are asked for."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


_CELL = re.compile(r"""'(?:[^']|'(?=\S))*'(?=\s|$)|"(?:[^"]|"(?=\S))*"(?=\s|$)|\S+""")


@dataclass(frozen=True)
class StarBlock:
    """A ``data_`` block.

    Parameters
    ----------
    name
        What follows ``data_``; may be empty.
    columns
        Cells of every column as text, by the label without its underscore, in the order of the file.
    is_loop
        False for a list of labels with one value each.
    path
        File it was read from, for messages.
    """

    name: str
    columns: Mapping[str, NDArray[np.object_]]
    is_loop: bool
    path: Path

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def text(self, column: str) -> list[str]:
        """Return the cells of a column as they stand in the file, without quotes.

        Raises
        ------
        InputError
            If there is no such column.
        """
        if column not in self.columns:
            raise InputError(f"{self._where} has no column {column}")
        return list(self.columns[column].tolist())

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return the cells of a column as numbers.

        Raises
        ------
        InputError
            If there is no such column, or a cell is not a finite number.
        """
        cells = self.text(column)
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            values = np.array([_number(cell) for cell in cells])
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            row = int(wrong[0])
            raise InputError(f"{self._where} has '{cells[row]}' in row {row + 1} of {column}, which is not a number")
        return values

    @property
    def _where(self) -> str:
        return f"block data_{self.name} of {self.path}"


@dataclass(frozen=True)
class StarFile:
    """A STAR file.

    Parameters
    ----------
    path
        The file.
    blocks
        Its blocks in the order of the file.
    comments
        Comment lines before the first block.
    """

    path: Path
    blocks: tuple[StarBlock, ...]
    comments: tuple[str, ...] = ()

    def block(self, *names: str) -> StarBlock | None:
        """Return the first block that has one of the names, or None."""
        return next((block for block in self.blocks if block.name in names), None)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def read_star(path: Path) -> StarFile:
    """Read a STAR file; ``.gz`` is unpacked.

    Cells lose their quotes and nothing else. Several tables under one ``data_`` become blocks of the same name.

    Raises
    ------
    InputError
        If there is no such file, it is not a STAR file, or it is still being written.
    """
    path = Path(path)
    text = read_text(path)
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("data_")]
    if not starts:
        raise InputError(f"{path} is not a STAR file: no line of it starts with data_")
    _refuse_content_before(path, lines[: starts[0]])
    blocks: list[StarBlock] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        blocks += _BlockReader(path, lines, start, end, text.endswith("\n")).read()
    comments = tuple(line for line in lines[: starts[0]] if line.strip())
    return StarFile(path, tuple(blocks), comments)


def read_text(path: Path) -> str:
    """Return the text of a file; ``.gz`` is unpacked.

    Raises
    ------
    InputError
        If there is no such file, it is not text, or it changes while it is read.
    """
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; correct the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; give a STAR file, a table or a CSV file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); give another file") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise InputError(f"{path} changed while it was read; wait until the program that writes it is done")
    if "\0" in text:
        raise InputError(f"{path} is not a text file; give a STAR file, a table or a CSV file")
    return text


def _refuse_content_before(path: Path, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            raise InputError(f"{path} is not a STAR file: line {number} stands before the first data_ block")


class _BlockReader:
    """Reads the lines of one ``data_`` block."""

    def __init__(self, path: Path, lines: Sequence[str], start: int, end: int, whole: bool) -> None:
        self.path = path
        self.lines = lines
        self.name = lines[start].split()[0].removeprefix("data_")
        self.at = start + 1
        self.end = end
        self.whole = whole

    def read(self) -> list[StarBlock]:
        blocks: list[StarBlock] = []
        while self._skip_blank():
            line = self.lines[self.at].lstrip()
            if line.split()[0] == "loop_":
                self.at += 1
                blocks.append(self._loop())
            elif line.startswith("_"):
                blocks.append(self._list())
            else:
                raise self._error(self.at, "belongs to no label or loop")
        return blocks or [StarBlock(self.name, {}, False, self.path)]

    def _skip_blank(self) -> bool:
        while self.at < self.end:
            line = self.lines[self.at].strip()
            if line and not line.startswith("#"):
                return True
            self.at += 1
        return False

    def _list(self) -> StarBlock:
        cells: dict[str, str] = {}
        while self._skip_blank() and self.lines[self.at].lstrip().startswith("_"):
            label, *values = _cells(self.lines[self.at])
            if len(values) > 1:
                raise self._error(self.at, f"gives {len(values)} values to {label}")
            self._add(cells, label, values[0] if values else "")
            self.at += 1
        return StarBlock(self.name, {name: _column([cell]) for name, cell in cells.items()}, False, self.path)

    def _loop(self) -> StarBlock:
        labels: dict[str, str] = {}
        while self._skip_blank() and self.lines[self.at].lstrip().startswith("_"):
            self._add(labels, self.lines[self.at].split()[0], "")
            self.at += 1
        first = self.at
        while self.at < self.end and not _NEXT_TABLE.match(self.lines[self.at]):
            self.at += 1
        rows = self._rows(first, len(labels))
        columns = zip(*rows, strict=True) if rows else ((),) * len(labels)
        return StarBlock(
            self.name, {name: _column(cells) for name, cells in zip(labels, columns, strict=True)}, True, self.path
        )

    def _rows(self, first: int, count: int) -> list[list[str]]:
        lines = self.lines[first : self.at]
        special = any("'" in line or '"' in line or "#" in line for line in lines)
        rows = [_cells(line) for line in lines] if special else [line.split() for line in lines]
        if set(map(len, rows)) <= {count}:
            return rows
        for number, row in enumerate(rows):
            if row and len(row) != count:
                last = first + number == len(self.lines) - 1
                if last and len(row) < count and not self.whole:
                    raise InputError(
                        f"{self.path} ends in the middle of a row; wait until the program that writes it is done"
                    )
                raise self._error(first + number, f"has {len(row)} cells, data_{self.name} has {count} columns")
        return [row for row in rows if row]

    def _add(self, cells: dict[str, str], label: str, value: str) -> None:
        name = label[1:]
        if name in cells:
            raise self._error(self.at, f"names the column {name} of data_{self.name} a second time")
        cells[name] = value

    def _error(self, at: int, what: str) -> InputError:
        return InputError(f"line {at + 1} of {self.path} {what}; correct the file")


_NEXT_TABLE = re.compile(r"\s*(loop_\s*$|_[A-Za-z])")


def _column(cells: Sequence[str]) -> NDArray[np.object_]:
    return np.array(cells, dtype=object)


def _cells(line: str) -> list[str]:
    cells: list[str] = []
    for cell in _CELL.findall(line):
        if cell[0] == "#":
            break
        quoted = len(cell) > 1 and cell[0] in "'\"" and cell[-1] == cell[0]
        cells.append(cell[1:-1] if quoted else cell)
    return cells
