"""Read any STAR file, ours or not. All cells stay text until numbers are asked for."""

from __future__ import annotations

import gc
import gzip
import os
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray


_NEXT_TABLE: Final = re.compile(r"^[ \t]*(?:loop_[ \t\r]*$|_[A-Za-z])", re.MULTILINE)
_MAYBE_NEXT_TABLE: Final = ("loop_", "\n_", " _", "\t_")
_CELL: Final = re.compile(r"""'(?:[^']|'(?=\S))*'(?=\s|$)|"(?:[^"]|"(?=\S))*"(?=\s|$)|\S+""")
_MANY: Final = 50_000


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
        cells: list[str] = self._cells_of(column).tolist()
        return cells

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return the cells of a column as numbers.

        Raises
        ------
        InputError
            If there is no such column, or a cell is not a finite number.
        """
        cells = self._cells_of(column)
        try:
            values = _parsed(cells)
        except ValueError:
            values = np.array([_number(cell) for cell in cells])
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            row = int(wrong[0])
            raise InputError(f"{self._where} has '{cells[row]}' in row {row + 1} of {column}, which is not a number")
        return values

    def _cells_of(self, column: str) -> NDArray[np.object_]:
        if column not in self.columns:
            raise InputError(f"{self._where} has no column {column}")
        return self.columns[column]

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


def _parsed(cells: NDArray[np.object_]) -> NDArray[np.float64]:
    if len(cells) < _MANY:
        return cells.astype(np.float64)
    import pyarrow as pa  # three times as fast, but slow to import

    try:
        return np.asarray(pa.array(cells, pa.string()).cast(pa.float64()).to_numpy())
    except pa.ArrowInvalid:  # it refuses a plus sign and others that float takes
        return cells.astype(np.float64)


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
    starts = _block_starts(text)
    if not starts:
        raise InputError(f"{path} is not a STAR file: no line of it starts with data_")
    comments = tuple(line for line in text[: starts[0]].splitlines() if line.strip())
    other = next((line for line in comments if not line.lstrip().startswith("#")), None)
    if other is not None:
        raise InputError(f"{path} is not a STAR file: '{other[:40]}' stands before the first data_ block")
    blocks: list[StarBlock] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        blocks += _BlockReader(path, text, start, end).read()
    return StarFile(path, tuple(blocks), comments)


def read_text(path: Path) -> str:
    """Return the text of a file; ``.gz`` is unpacked.

    Raises
    ------
    InputError
        If there is no such file, it is not text, or it changes while it is read.
    """
    try:
        with path.open("rb") as stream:  # looked at through the open file: one put in its place does not matter
            before = os.fstat(stream.fileno())
            content = stream.read()
            after = os.fstat(stream.fileno())
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


def _block_starts(text: str) -> list[int]:
    starts = [0] if text.startswith("data_") else []
    at = text.find("\ndata_")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\ndata_", at + 1)
    return starts


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep the garbage collector from looking at the lists of cells again and again, which takes most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _BlockReader:
    """Reads one ``data_`` block, from ``start`` to ``end`` of the text."""

    def __init__(self, path: Path, text: str, start: int, end: int) -> None:
        self._path = path
        self._text = text
        self._at = start
        self._end = end
        self._name = self._line().split()[0].removeprefix("data_")

    def read(self) -> list[StarBlock]:
        """Return its tables."""
        blocks: list[StarBlock] = []
        self._next()
        while self._skip_blank():
            line = self._line().lstrip()
            if line.split()[0] == "loop_":
                self._next()
                blocks.append(self._loop())
            elif line.startswith("_"):
                blocks.append(self._list())
            elif line.startswith(";"):
                raise self._error(self._number(), "begins a text over several lines, which particle files do not have")
            else:
                raise self._error(self._number(), "belongs to no label or loop")
        return blocks or [StarBlock(self._name, {}, False, self._path)]

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at, self._end)
        return self._end if end < 0 else end

    def _line(self) -> str:
        return self._text[self._at : self._line_end()]

    def _next(self) -> None:
        self._at = self._line_end() + 1

    def _number(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _skip_blank(self) -> bool:
        while self._at < self._end:
            line = self._line().strip()
            if line and not line.startswith("#"):
                return True
            self._next()
        return False

    def _at_label(self) -> bool:
        return self._skip_blank() and self._line().lstrip().startswith("_")

    def _list(self) -> StarBlock:
        cells: dict[str, str] = {}
        while self._at_label():
            label, *values = _cells(self._line())
            if len(values) > 1:
                raise self._error(self._number(), f"gives {len(values)} values to {label}")
            self._add(cells, label, values[0] if values else "")
            self._next()
        table = {name: np.array([cell], dtype=object) for name, cell in cells.items()}
        return StarBlock(self._name, table, False, self._path)

    def _loop(self) -> StarBlock:
        labels: dict[str, str] = {}
        while self._at_label():
            self._add(labels, self._line().split()[0], "")
            self._next()
        text = self._text[self._at : self._end]
        following = _NEXT_TABLE.search(text) if any(sign in text for sign in _MAYBE_NEXT_TABLE) else None
        text = text if following is None else text[: following.start()]
        with collector_at_rest():
            columns = self._columns(text, len(labels))
        self._at += len(text)
        table = {name: np.array(cells, dtype=object) for name, cells in zip(labels, columns, strict=True)}
        return StarBlock(self._name, table, True, self._path)

    def _columns(self, text: str, count: int) -> list[Sequence[str]]:
        split = _cells if any(character in text for character in "'\"#") else str.split
        rows = [split(line) for line in text.splitlines()]
        if not set(map(len, rows)) <= {count}:
            self._refuse_other_lengths(rows, count)
            rows = [row for row in rows if row]
        return list(zip(*rows, strict=True)) if rows else [()] * count

    def _refuse_other_lengths(self, rows: Sequence[Sequence[str]], count: int) -> None:
        for number, row in enumerate(rows, start=self._number()):
            if not row or len(row) == count:
                continue
            last = number == self._text.count("\n") + 1
            if last and len(row) < count:
                raise InputError(
                    f"{self._path} ends in the middle of a row; wait until the program that writes it is done"
                )
            raise self._error(number, f"has {len(row)} cells, data_{self._name} has {count} columns")

    def _add(self, cells: dict[str, str], label: str, value: str) -> None:
        name = label[1:]
        if name in cells:
            raise self._error(self._number(), f"names the column {name} of data_{self._name} a second time")
        cells[name] = value

    def _error(self, number: int, what: str) -> InputError:
        return InputError(f"line {number} of {self._path} {what}; correct the file")


def _cells(line: str) -> list[str]:
    cells: list[str] = []
    for cell in _CELL.findall(line):
        if cell[0] == "#":
            break
        quoted = len(cell) > 1 and cell[0] in "'\"" and cell[-1] == cell[0]
        cells.append(cell[1:-1] if quoted else cell)
    return cells
