"""Run all rules over a file and hold what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryosiam.errors import InputError
from cryosiam.integrations.star.check import (
    density_rules,
    geometry,
    m,
    names,
    optics,
    poses,
    relion4,
    relion5,
    relion31,
    scipion,
    sets,
    structure,
    values,
    warp,
)
from cryosiam.integrations.star.check.context import Context, Kind
from cryosiam.integrations.star.check.density import Evidence
from cryosiam.integrations.star.check.finding import Finding, Program, Rule, Severity
from cryosiam.integrations.star.check.layout import read_layout
from cryosiam.integrations.star.check.tomograms import read_listed_tomograms
from cryosiam.integrations.star.check.volumes import tomograms_of_files
from cryosiam.integrations.star.check.words import PARTICLES_FILE, TOMOGRAMS_FILE
from cryosiam.integrations.star.star_file import StarFile, read_star

FAMILIES: Mapping[str, tuple[Rule, ...]] = {
    "Lines of the file": structure.RULES,
    "Files that name others": sets.RULES,
    "Names of tomograms": names.RULES,
    "RELION 5": relion5.RULES,
    "RELION 4": relion4.RULES,
    "RELION 3.1": relion31.RULES,
    "Warp": warp.RULES,
    "M": m.RULES,
    "Scipion": scipion.RULES,
    "Optics groups and pixel sizes": optics.RULES,
    "Cells": values.RULES,
    "Angles, shifts, classes, duplicates": poses.RULES,
    "Places": geometry.RULES,
    "Density under the particles": density_rules.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES.values() for rule in family)
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
    evidence
        How much density every reading of the coordinates finds; empty where no tomogram was read.
    unread
        Why the tables could not be read, or None; only rules on lines were applied then.
    """

    path: Path
    program: Program
    kind: Kind
    particles: int | None
    findings: tuple[Finding, ...]
    evidence: tuple[Evidence, ...] = ()
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
            "density": [asdict(evidence) for evidence in self.evidence],
            "findings": [
                asdict(finding) | {"file": str(finding.file), "says": finding.says} for finding in self.findings
            ],
        }


def check_star(
    path: Path,
    program: Program,
    tomograms: Path | None = None,
    voxel_size_angstrom: float | None = None,
    tomogram_files: Sequence[Path] = (),
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
    tomogram_files
        MRC files of tomograms, named as the particles name them; those that tomograms.star names are found by
        themselves.

    Raises
    ------
    InputError
        If a file is not there, is no STAR file, or cannot be read, and no rule says why.
    """
    layout = read_layout(path)
    listed = None if tomograms is None else read_listed_tomograms(tomograms)
    star, unread = _tables(path)
    if unread is not None and not layout.blocks:
        raise InputError(unread)
    context = Context(path, program, layout, star, listed, voxel_size_angstrom)
    if context.kind is Kind.TOMOGRAMS and star is not None and listed is None:
        context = replace(context, tomograms=read_listed_tomograms(path))
    if tomogram_files and context.kind is Kind.PARTICLES:
        context = replace(context, given_frames=tomograms_of_files(context, tomogram_files))
    findings = [finding for rule in RULES for finding in rule.findings(context)]
    if unread is not None and not _explained(findings):
        raise InputError(unread)
    findings = _sorted(findings)
    particles = None if context.table is None else len(context.table)
    report = Report(path, program, context.kind, particles, tuple(findings), context.density.evidence, unread)
    return _with(report, _reports_on_named(context, tomogram_files))


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))


def _with(report: Report, named: list[Report]) -> Report:
    """Add what was found in the files that a file names."""
    if not named:
        return report
    findings = _sorted([*report.findings, *(finding for other in named for finding in other.findings)])
    particles = sum(other.particles or 0 for other in named)
    return replace(report, findings=tuple(findings), particles=particles, evidence=named[0].evidence)


def _reports_on_named(context: Context, tomogram_files: Sequence[Path]) -> list[Report]:
    """Return reports on the particles that an optimisation set or a list for an import job names."""
    given = None if context.tomograms is None else context.tomograms.path
    if context.kind is Kind.OPTIMISATION_SET:
        beside = sets.named_file(context, TOMOGRAMS_FILE)
        given = given or (beside if beside is not None and beside.is_file() else None)
        particles = sets.named_file(context, PARTICLES_FILE)
        files = [] if particles is None else [particles]
    else:
        files = sets.listed_files(context)
    there = [path for path in files if path.is_file() and path.resolve() != context.path.resolve()]
    found = [check_star(path, context.program, given, context.voxel_size_angstrom, tomogram_files) for path in there]
    return found if context.kind is Kind.OPTIMISATION_SET else [_of_import(report) for report in found]


def _of_import(report: Report) -> Report:
    """Leave out what matters only where a file is used without being imported."""
    kept = [
        finding
        for finding in report.findings
        if finding.rule not in sets.NOT_FOR_IMPORT and finding.severity is not Severity.NOTE
    ]
    return replace(report, findings=tuple(kept))


def _tables(path: Path) -> tuple[StarFile | None, str | None]:
    try:
        return read_star(path), None
    except InputError as error:
        return None, str(error)


def _explained(findings: list[Finding]) -> bool:
    return any(finding.severity is not Severity.NOTE for finding in findings)
