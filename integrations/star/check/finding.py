"""Words of a check: programs, rules, and what a rule finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryosiam.integrations.star.check.context import Context


class Program(StrEnum):
    """Programs whose behaviour is known; the values are those of ``--for``."""

    RELION5 = "relion5"
    RELION4 = "relion4"
    RELION31 = "relion31"
    WARP = "warp"
    M = "m"
    SCIPION = "scipion"

    @property
    def label(self) -> str:
        """Name of the program as its makers write it."""
        return _LABELS[self]


_LABELS = {
    Program.RELION5: "RELION 5",
    Program.RELION4: "RELION 4",
    Program.RELION31: "RELION 3.1",
    Program.WARP: "Warp",
    Program.M: "M",
    Program.SCIPION: "Scipion",
}

RELION = (Program.RELION5, Program.RELION4, Program.RELION31)


class Severity(StrEnum):
    """How bad it is: the program stops or hangs; it runs and its results are wrong; worth knowing."""

    ERROR = "error"
    WRONG = "wrong"
    NOTE = "note"


@dataclass(frozen=True)
class Effect:
    """What a program does about something that a rule finds.

    Parameters
    ----------
    severity
        How bad it is.
    does
        Predicate of a sentence that begins with the program's name.
    source
        Where that is known from: file of the program's source, ``measured`` with a version, or a documented thread.
    """

    severity: Severity
    does: str
    source: str


def error(does: str, source: str) -> Effect:
    """Return an effect by which the program stops or hangs."""
    return Effect(Severity.ERROR, does, source)


def wrong(does: str, source: str) -> Effect:
    """Return an effect by which the program runs and gives wrong results without a word."""
    return Effect(Severity.WRONG, does, source)


def note(does: str, source: str) -> Effect:
    """Return an effect that is worth knowing and not wrong by itself."""
    return Effect(Severity.NOTE, does, source)


@dataclass(frozen=True)
class Hit:
    """Something a rule found in a file.

    Parameters
    ----------
    found
        What is there, a main clause without full stop.
    mend
        What mends it: a command that can be run as it stands where there is one.
    block, column
        Where; names without ``data_`` and ``_``.
    row
        Row of the table, from 1.
    """

    found: str
    mend: str
    block: str | None = None
    column: str | None = None
    row: int | None = None


@dataclass(frozen=True)
class Finding:
    """A hit, with what the program makes of it.

    Parameters
    ----------
    rule
        Name of the rule.
    file
        The file that was looked at: the one asked about, or one that it names.
    program
        The program asked about.
    severity, does, source
        Of the rule's effect on that program.
    found, mend, block, column, row
        Of the hit.
    """

    rule: str
    file: Path
    program: Program
    severity: Severity
    found: str
    does: str
    mend: str
    source: str
    block: str | None
    column: str | None
    row: int | None

    @property
    def says(self) -> str:
        """What is there and what the program does, as one sentence."""
        return f"{self.found}: {self.program.label} {self.does}."

    @property
    def where(self) -> str:
        """Block, column and row, as far as they are known."""
        block = None if self.block is None else f"data_{self.block}"
        row = None if self.row is None else f"row {self.row}"
        return " ".join(part for part in (block, self.column, row) if part)


Look = Callable[["Context"], Iterable[Hit]]


@dataclass(frozen=True)
class Rule:
    """A trap: what to look for, and what each program does about it.

    Parameters
    ----------
    name
        Short name, as in the documentation.
    finds
        What it looks for, one sentence.
    effects
        By program; the rule is silent for the others.
    look
        Finds it.
    """

    name: str
    finds: str
    effects: Mapping[Program, Effect]
    look: Look

    def findings(self, context: Context) -> list[Finding]:
        """Return what the rule finds in a file that is meant for ``context.program``."""
        effect = self.effects.get(context.program)
        if effect is None:
            return []
        return [
            Finding(
                rule=self.name,
                file=context.path,
                program=context.program,
                severity=effect.severity,
                found=hit.found,
                does=effect.does,
                mend=hit.mend,
                source=effect.source,
                block=hit.block,
                column=hit.column,
                row=hit.row,
            )
            for hit in self.look(context)
        ]


def rule(name: str, finds: str, effects: Mapping[Program, Effect]) -> Callable[[Look], Rule]:
    """Make a rule of a function that finds hits in a context; see `Rule` for the parameters."""

    def make(look: Look) -> Rule:
        return Rule(name, finds, dict(effects), look)

    return make


def for_all(programs: Iterable[Program], effect: Effect) -> dict[Program, Effect]:
    """Return the same effect for several programs."""
    return dict.fromkeys(programs, effect)
