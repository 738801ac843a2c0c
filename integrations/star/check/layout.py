"""How the lines of a STAR file lie, read more leniently than any program does.

`read_star` gives tables of a sound file. What programs stumble over is lost in tables: line ends, blank lines between
rows, comments among rows, rows too short, labels that are there twice, numbers behind labels. This reader keeps it.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from pathlib import Path

from cryosiam.errors import InputError

_NUMBER = re.compile(r"#\s*(-?\d+)")
_QUOTES = "\"'"


@dataclass
class Label:
    """A label line of a loop.

    Parameters
    ----------
    name
        Without ``_``, as a program that splits at blanks sees it.
    number
        The number behind ``#``, where there is one.
    glued
        True where ``#`` follows the name without a blank.
    """

    name: str
    number: int | None
    glued: bool = False


@dataclass
class BlockLayout:
    """How one table or list lies in the file; a second one under the same ``data_`` counts as a block of its own.

    Parameters
    ----------
    name
        Without ``data_``.
    is_loop
        True for a table, False for a list or an empty block.
    labels
        Labels in order; for a list, those of its entries.
    rows
        Rows up to the end of the block, malformed ones and those after a blank line too.
    ragged
        Rows (from 1) whose number of cells is not that of the labels; the first 1000.
    comments
        Rows (from 1) before which a comment stands, one more than there are for a comment right behind the last one.
    blank_after
        Row after which a blank line stands although rows follow, or None.
    quoted
        True where a cell is quoted.
    """

    name: str
    is_loop: bool = False
    labels: list[Label] = field(default_factory=list)
    rows: int = 0
    ragged: list[int] = field(default_factory=list)
    comments: list[int] = field(default_factory=list)
    blank_after: int | None = None
    quoted: bool = False

    @property
    def columns(self) -> list[str]:
        """Names of the labels."""
        return [label.name for label in self.labels]


@dataclass
class Layout:
    """How a file lies.

    Parameters
    ----------
    blocks
        In the order of the file.
    windows_line
        First line that ends in CR LF, or None.
    compressed
        True for a file packed by gzip.
    """

    blocks: list[BlockLayout] = field(default_factory=list)
    windows_line: int | None = None
    compressed: bool = False

    def block(self, name: str) -> BlockLayout | None:
        """Return the first block of that name."""
        return next((block for block in self.blocks if block.name == name), None)


_MOST = 1000


def read_layout(path: Path) -> Layout:
    """Read how the lines of a file lie.

    Raises
    ------
    InputError
        If the file cannot be read, or is no text.
    """
    content, compressed = _content(path)
    layout = Layout(compressed=compressed)
    reader = _Reader(layout)
    crlf = content.find("\r\n")
    if crlf >= 0:
        layout.windows_line = content.count("\n", 0, crlf) + 1
    for line in content.split("\n"):
        reader.take(line)
    return layout


def _content(path: Path) -> tuple[str, bool]:
    try:
        data = path.read_bytes()
        compressed = data[:2] == b"\x1f\x8b"
        text = gzip.decompress(data) if compressed else data
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; give a STAR file") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a STAR file") from error
    try:
        return text.decode("utf-8-sig"), compressed
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text; give a STAR file") from error


class _Reader:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._block: BlockLayout | None = None
        self._in_rows = False
        self._blank_after: int | None = None

    def take(self, line: str) -> None:
        stripped = line.strip()
        if stripped.startswith("data_"):
            self._open(stripped[5:].split(maxsplit=1)[0] if len(stripped) > 5 else "")
        elif not stripped:
            if self._in_rows and self._block is not None and self._block.rows and self._blank_after is None:
                self._blank_after = self._block.rows
        elif stripped.startswith("#"):
            self._hold_comment()
        elif stripped.split(maxsplit=1)[0] == "loop_":
            self._loop()
        elif self._block is not None:
            self._line(stripped)

    def _hold_comment(self) -> None:
        block = self._block
        if block is not None and self._in_rows and self._blank_after is None and len(block.comments) < _MOST:
            block.comments.append(block.rows + 1)

    def _open(self, name: str) -> None:
        self._block = BlockLayout(name)
        self._layout.blocks.append(self._block)
        self._in_rows, self._blank_after = False, None

    def _loop(self) -> None:
        if self._block is None:
            self._open("")
        assert self._block is not None
        if self._block.labels:
            self._open(self._block.name)
        self._block.is_loop = True
        self._in_rows, self._blank_after = False, None

    def _line(self, stripped: str) -> None:
        assert self._block is not None
        if stripped[0] == "_" and not (self._in_rows and self._block.rows):
            self._label(stripped)
            self._in_rows = self._block.is_loop
        elif self._block.is_loop:
            self._row(stripped)

    def _label(self, stripped: str) -> None:
        assert self._block is not None
        name, _, rest = stripped[1:].partition("#")
        words = name.split()
        glued = bool(words) and "#" in stripped and not name[-1:].isspace() and len(words) == 1
        found = _NUMBER.search("#" + rest) if "#" in stripped and self._block.is_loop else None
        self._block.labels.append(Label(words[0] if words else "", int(found.group(1)) if found else None, glued))

    def _row(self, stripped: str) -> None:
        block = self._block
        assert block is not None
        if self._blank_after is not None and block.blank_after is None:
            block.blank_after = self._blank_after
        block.rows += 1
        cells = len(stripped.split())
        if any(quote in stripped for quote in _QUOTES):
            quoted = _quoted_cells(stripped)
            block.quoted = block.quoted or quoted is not None
            cells = cells if quoted is None else quoted
        if cells != len(block.labels) and len(block.ragged) < _MOST:
            block.ragged.append(block.rows)


_CELL = re.compile(r"""(["'])(.*?)\1(?=\s|$)|\S+""")


def _quoted_cells(line: str) -> int | None:
    """Return the number of cells where a cell is quoted, or None where quotes are part of words."""
    found = list(_CELL.finditer(line))
    return len(found) if any(cell.group(1) for cell in found) else None
