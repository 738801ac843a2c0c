"""What ``cryosiam check`` does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cryosiam.cli.tables import console
from cryosiam.errors import InputError
from cryosiam.files import write_text_whole
from cryosiam.integrations.star.check.finding import Program, Severity
from cryosiam.integrations.star.check.report import Report, check_star

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {Severity.ERROR: "red", Severity.WRONG: "yellow", Severity.NOTE: "cyan"}
UNUSABLE = 2


def check_file(path: Path, program: str, tomograms: Path | None, json_path: Path | None) -> None:
    """Check a file, print the report, and leave with its exit code."""
    try:
        report = check_star(path, Program(program), tomograms)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(UNUSABLE) from None
    if json_path is not None:
        write_text_whole(json_path, json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
    _show(report)
    raise typer.Exit(0 if report.is_fine else 1)


def _show(report: Report) -> None:
    screen = console()
    if report.findings:
        screen.print(_table(report))
    if report.unread is not None:
        screen.print(f"The tables were not examined: {report.unread}.", markup=False)
    screen.print(_summary(report), markup=False)


def _table(report: Report) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("")
    table.add_column("where", overflow="fold")
    table.add_column(f"what {report.program.title} will do", overflow="fold", ratio=3)
    table.add_column("what mends it", overflow="fold", ratio=2)
    for finding in report.findings:
        colour = _COLOURS[finding.severity]
        table.add_row(
            f"[{colour}]{finding.severity.value}[/]",
            escape(finding.where),
            f"{escape(finding.says)}\n[dim]{escape(finding.source)}[/]",
            escape(finding.mend),
        )
    return table


def _summary(report: Report) -> str:
    counts = report.counts
    if not report.findings:
        return f"{report.path} is fine for {report.program.title}."
    return (
        f"{report.path} for {report.program.title}: errors {counts[Severity.ERROR]}, "
        f"wrong results {counts[Severity.WRONG]}, notes {counts[Severity.NOTE]}."
    )
