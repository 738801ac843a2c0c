"""What ``cryosiam check`` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cryosiam.cli.tables import console
from cryosiam.errors import InputError, StorageError
from cryosiam.files import write_text_whole
from cryosiam.integrations.star.check.density import FEWEST, TOO_LITTLE, Evidence
from cryosiam.integrations.star.check.finding import Program, Severity
from cryosiam.integrations.star.check.report import Report, check_star
from cryosiam.integrations.writable import refuse_read_only

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {Severity.ERROR: "red", Severity.WRONG: "yellow", Severity.NOTE: "cyan"}
UNUSABLE = 2


def check_file(
    path: Path,
    program: str,
    tomograms: Path | None,
    tomogram_files: Sequence[Path],
    voxel_size_angstrom: float | None,
    json_path: Path | None,
) -> None:
    """Check a file, print the report, and leave with its exit code."""
    try:
        if json_path is not None:
            _refuse_unwritable(json_path)
        report = check_star(path, Program(program), tomograms, voxel_size_angstrom, tomogram_files)
    except (InputError, StorageError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(UNUSABLE) from None
    if json_path is not None:
        write_text_whole(json_path, json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
    _show(report)
    raise typer.Exit(0 if report.is_fine else 1)


def _refuse_unwritable(path: Path) -> None:
    """Refuse a place for the report that is a folder, or in a folder that cannot be written."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file to --json")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}; make it, or give another file to --json")
    refuse_read_only(path.parent, "give another file to --json")


def _show(report: Report) -> None:
    screen = console()
    if report.findings:
        screen.print(_table(report))
        for mend, numbers in _mends(report).items():
            screen.print(f"To mend {numbers}: {mend}", markup=False, soft_wrap=True)
    if report.unread is not None:
        screen.print(f"The tables were not examined: {report.unread}.", markup=False)
    if report.evidence:
        screen.print(_density(report.evidence[0]), markup=False)
    screen.print(_summary(report), markup=False)


def _table(report: Report) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("", justify="right")
    table.add_column("")
    table.add_column("where", overflow="fold")
    table.add_column(f"what {report.program.label} will do", overflow="fold")
    for number, finding in enumerate(report.findings, start=1):
        colour = _COLOURS[finding.severity]
        file = "" if finding.file == report.path else f"{finding.file.name} "
        table.add_row(
            str(number),
            f"[{colour}]{finding.severity.value}[/]",
            escape(file + finding.where),
            f"{escape(finding.says)}\n[dim]{finding.rule}; {escape(finding.source)}[/]",
        )
    return table


def _mends(report: Report) -> dict[str, str]:
    """Return what mends findings, with their numbers."""
    numbers: dict[str, list[str]] = {}
    for number, finding in enumerate(report.findings, start=1):
        numbers.setdefault(finding.mend, []).append(str(number))
    return {mend: ", ".join(which) for mend, which in numbers.items()}


def _density(as_read: Evidence) -> str:
    if as_read.count < FEWEST:
        return "Density under the particles as they are: too few lie far enough inside to say."
    if as_read.strength < TOO_LITTLE:
        return f"Density under {as_read.count} particles as they are: none that shows (z {as_read.strength:.1f})."
    grey = "brighter" if as_read.z > 0 else "darker"
    return f"Density under {as_read.count} particles as they are: {grey} than around them (z {as_read.strength:.1f})."


def _summary(report: Report) -> str:
    counts = report.counts
    if not report.findings:
        return f"{report.path} is fine for {report.program.label}."
    return (
        f"{report.path} for {report.program.label}: errors {counts[Severity.ERROR]}, "
        f"wrong results {counts[Severity.WRONG]}, notes {counts[Severity.NOTE]}."
    )
