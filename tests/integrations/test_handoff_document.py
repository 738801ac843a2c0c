"""The table of dialects in docs/hand-off.md is what the dialects' files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosiam.integrations.star.dialect import DIALECTS, Dialect, load_dialect
from cryosiam.integrations.star.fields import ORIENTATIONS, PLACES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hand-off.md"


def columns(dialect: Dialect, groups: set[str]) -> str:
    """Return the columns whose fields are of these groups, by the first and the last."""
    found = [column for column in dialect.particles.columns if column.field.partition(".")[0] in groups]
    names = [f"`{column.name}`" for column in found]
    return f"{names[0]} to {names[-1]}"


def row(dialect: Dialect) -> str:
    """Return the line of a dialect."""
    files = [dialect.file, *(layout.file for layout in dialect.companions)]
    places = set(PLACES) - {"rounding"}
    units = {c.unit for c in dialect.particles.columns if c.field.partition(".")[0] in places}
    cells = [
        f"`{dialect.name}`",
        ", ".join(f"`{file}`" for file in files),
        f"{columns(dialect, places)}, in {' and '.join(sorted(units))}",
        columns(dialect, set(ORIENTATIONS)),
        ", ".join(
            f"`{c.name}`" for c in dialect.particles.columns if c.field in {"score", "class_number", "class_name"}
        ),
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", DIALECTS)
def test_the_table_says_what_the_dialect_says(name: str) -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    assert row(load_dialect(name)) in lines
