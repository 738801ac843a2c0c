"""Commands that mend what a check finds."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.integrations.star.check.context import Context

TOMOGRAMS_STAR = "tomograms.star"


def export(context: Context, dialect: str | None = None) -> str:
    """Return the command that writes the particles anew for the program, in its own words."""
    where = TOMOGRAMS_STAR if context.tomograms is None else str(context.tomograms.path)
    return command(
        "cryosiam",
        "export",
        "--star",
        context.path,
        "--tomograms-star",
        where,
        "--to",
        dialect or context.program.value,
    )


def command(*words: str | Path) -> str:
    """Return words as a shell command."""
    return shlex.join(str(word) for word in words)


def beside(path: Path, ending: str) -> Path:
    """Return a new name beside a file: ``particles.star`` and ``unix`` give ``particles_unix.star``."""
    return path.with_name(f"{path.name.split('.')[0]}_{ending}.star")
