"""Commands that mend what a check finds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryosiam.integrations.star.check.context import Context

TOMOGRAMS_STAR = "tomograms.star"


def export(context: Context, dialect: str | None = None) -> str:
    """Return the command that writes the particles anew for the program, in its own words."""
    where = TOMOGRAMS_STAR if context.tomograms is None else context.tomograms.path
    to = dialect or context.program.value
    return command("cryosiam", "convert", context.path, "--to", to, "--tomograms-star", where, "--out", f"{to}/")


def multiplied(context: Context, columns: Sequence[str], factor: str) -> str:
    """Return the command that multiplies three columns."""
    return _operated(context, columns, "--multiply_by", factor)


def shifted(context: Context, columns: Sequence[str], step: str) -> str:
    """Return the command that adds to three columns."""
    return _operated(context, columns, "--add_to", step)


def _operated(context: Context, columns: Sequence[str], how: str, value: str) -> str:
    options = [word for pair in zip(("--operate", "--operate2", "--operate3"), columns, strict=True) for word in pair]
    return command(
        "relion_star_handler", "--i", context.path, "--o", beside(context.path, "mended"), *options, how, value
    )


def told(context: Context, unit_angstrom: float) -> str:
    """Return how the program is told what one of the coordinates is in Å."""
    option = {"warp": "pass --coords_angpix", "m": "pass --angpix_coords"}.get(context.program.value)
    return f"{option or 'fill in Coordinates sampling rate:'} {unit_angstrom:.6g}"


def without_duplicates(context: Context) -> str:
    """Return the command that leaves out particles that stand where another one stands."""
    return command(
        "relion_star_handler", "--i", context.path, "--o", beside(context.path, "mended"), "--remove_duplicates", "1"
    )


def command(*words: str | Path) -> str:
    """Return words as a shell command."""
    return shlex.join(str(word) for word in words)


def beside(path: Path, ending: str) -> Path:
    """Return a new name beside a file: ``particles.star`` and ``mended`` give ``particles_mended.star``."""
    return path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.star')}_{ending}.star")
