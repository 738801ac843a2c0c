"""The rules as a table for the documentation."""

from __future__ import annotations

from cryosiam.integrations.star.check.finding import Program, Rule
from cryosiam.integrations.star.check.report import FAMILIES


def rules_markdown() -> str:
    """Return all rules as Markdown: a section for each family, a row for each program and rule."""
    parts = []
    for title, rules in FAMILIES.items():
        rows = [row for rule in rules for row in _rows(rule)]
        parts.append(
            "\n".join([f"### {title}", "", "| what | program | it | known from |", "| --- | --- | --- | --- |", *rows])
        )
    return "\n\n".join(parts) + "\n"


def _rows(rule: Rule) -> list[str]:
    alike: dict[tuple[str, str, str], list[Program]] = {}
    for program, effect in rule.effects.items():
        alike.setdefault((effect.severity.value, effect.does, effect.source), []).append(program)
    rows = []
    for number, ((severity, does, source), programs) in enumerate(alike.items()):
        what = f"**{rule.name}**: {rule.finds}" if number == 0 else ""
        who = ", ".join(program.label for program in programs)
        rows.append(f"| {_cell(what)} | {who} | **{severity}**: {_cell(does)} | {_cell(source)} |")
    return rows


def _cell(text: str) -> str:
    return (
        text.replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("*Angst", "\\*Angst")
        .replace("rlnOrigin*", "rlnOrigin\\*")
    )
