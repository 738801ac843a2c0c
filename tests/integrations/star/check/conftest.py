"""STAR files that are made for one trap each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

Block = Mapping[str, Sequence[object]]


def star_text(blocks: Mapping[str, Block]) -> str:
    """Return a STAR file of loops; a block whose columns hold one bare value each is a list."""
    parts = []
    for name, columns in blocks.items():
        loop = all(not isinstance(cells, str | int | float) for cells in columns.values())
        lines = [f"data_{name}", ""]
        if loop:
            lines += ["loop_", *(f"_{column} #{number}" for number, column in enumerate(columns, start=1))]
            lines += [" ".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        else:
            lines += [f"_{column} {value}" for column, value in columns.items()]
        parts.append("\n".join(lines))
    return "\n" + "\n\n".join(parts) + "\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text, or blocks, into the test's folder."""

    def written(content: str | Mapping[str, Block], name: str = "particles.star") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else star_text(content))
        return path

    return written
