"""Names of runs that other programs can carry."""

from __future__ import annotations

import re

from cryosiam.errors import InputError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)|n/a|na|null|none", re.IGNORECASE)


def check_run_name(name: str, where: str, number_is_fine: bool = False) -> None:
    """Refuse a run name that folders or STAR files cannot carry.

    A slash makes a folder inside a folder, white space ends a STAR value (RELION stops), and a name that reads as a
    number is turned into one by STAR readers (``001`` becomes ``1``), so that its particles no longer find their
    tomogram.

    Parameters
    ----------
    name
        Name of the run.
    where
        Place it comes from, for the message.
    number_is_fine
        True where the name cannot be chosen here, as in a project of RELION, which takes ``001`` for a name.

    Raises
    ------
    InputError
        If the name cannot be used.
    """
    if "/" in name or "\\" in name:
        raise InputError(f"run name '{name}' in {where} contains a slash; rename the run, for example with '-'")
    if not name or any(character.isspace() for character in name):
        raise InputError(
            f"run name '{name}' in {where} is empty or contains white space; rename it, for example with '-'"
        )
    if _NUMBER.fullmatch(name) and not number_is_fine:
        raise InputError(
            f"run name '{name}' in {where} reads as a number, which STAR readers change; "
            f"rename it, for example to 'TS_{name}'"
        )
