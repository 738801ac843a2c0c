"""Run all rules over a file and hold what they found."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryosiam.errors import InputError
from cryosiam.integrations.star.check import names, relion5, structure, warp
from cryosiam.integrations.star.check.context import Context, Kind
from cryosiam.integrations.star.check.finding import Finding, Program, Rule, Severity
from cryosiam.integrations.star.check.layout import Layout, read_layout
from cryosiam.integrations.star.check.tomograms import read_listed_tomograms
from cryosiam.integrations.star.star_file import StarFile, read_star

RULES: tuple[Rule, ...] = (*structure.RULES, *names.RULES, *relion5.RULES, *warp.RULES)
"""Every rule, in the order in which findings are shown."""


@dataclass(frozen=True)
class Report:
    """What a check found.

    Parameters
    ----------
    path, program
        The file and the program it is meant for.
    kind
        What the file holds.
    particles
        Number of particles, or None where the table cannot be read.
    findings
        Errors first.
    unread
        Why the tables could not be read, or None; only rules on lines were applied then.
    """

    path: Path
    program: Program
    kind: Kind
    particles: int | None
    findings: tuple[Finding, ...]
    unread: str | None = None

    @property
    def is_fine(self) -> bool:
        """True where the program neither stops nor gives wrong results."""
        return not any(finding.severity in (Severity.ERROR, Severity.WRONG) for finding in self.findings)

    @property
    def counts(self) -> dict[Severity, int]:
        """Number of findings of each severity."""
        counts = Counter(finding.severity for finding in self.findings)
        return {severity: counts[severity] for severity in Severity}

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "file": str(self.path),
            "for": self.program.value,
            "kind": self.kind.value,
            "particles": self.particles,
            "fine": self.is_fine,
            "unread": self.unread,
            "findings": [asdict(finding) | {"says": finding.says} for finding in self.findings],
        }


def check_star(
    path: Path, program: Program, tomograms: Path | None = None, voxel_size_angstrom: float | None = None
) -> Report:
    """Say what a program will do with a STAR file.

    Parameters
    ----------
    path
        Any STAR file.
    program
        The program it is meant for.
    tomograms
        The tomograms.star that goes with it.
    voxel_size_angstrom
        What coordinates in tomogram voxels are counted in.

    Raises
    ------
    InputError
        If a file is not there, is no STAR file, or cannot be read, and no rule says why.
    """
    layout = read_layout(path)
    listed = None if tomograms is None else read_listed_tomograms(tomograms)
    star, unread = _tables(path)
    context = Context(path, program, layout, star, listed, voxel_size_angstrom)
    findings = [finding for rule in RULES for finding in rule.findings(context)]
    if unread is not None and not _explained(layout, findings):
        raise InputError(unread)
    findings.sort(key=lambda finding: list(Severity).index(finding.severity))
    particles = None if context.table is None else len(context.table)
    return Report(path, program, context.kind, particles, tuple(findings), unread)


def _tables(path: Path) -> tuple[StarFile | None, str | None]:
    try:
        return read_star(path), None
    except InputError as error:
        return None, str(error)


def _explained(layout: Layout, findings: list[Finding]) -> bool:
    return bool(layout.blocks) and any(finding.severity is not Severity.NOTE for finding in findings)
