"""Lengths of time as a user writes them."""

from __future__ import annotations

import re

from cryosiam.errors import InputError

_DURATION = re.compile(r"(?:(?P<h>\d+(\.\d+)?)h)?\s*(?:(?P<m>\d+(\.\d+)?)m)?\s*(?:(?P<s>\d+(\.\d+)?)s)?")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def duration_s(text: str, option: str) -> float:
    """Return a length of time such as ``90m``, ``1h30m`` or ``3600s`` in seconds.

    Raises
    ------
    InputError
        If it is none, or nothing is left of it.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    parts = {unit: float(number) for unit, number in match.groupdict().items() if number} if match else {}
    total = sum(number * _SECONDS[unit] for unit, number in parts.items())
    if total <= 0:
        raise InputError(f"{option} '{text}' is not a length of time; write it as 90m, 1h30m or 3600s")
    return total
