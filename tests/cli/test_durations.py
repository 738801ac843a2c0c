"""Lengths of time, as they are given to ``--time-budget``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.cli.durations import duration_s
from cryosiam.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("1h30m", 5400), ("3600s", 3600), ("1.5H", 5400), (" 2h 10s ", 7210)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert duration_s(text, "--time-budget") == seconds


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert duration_s(f"{hours}h{minutes}m{seconds}s", "--time-budget") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize("text", ["", "soon", "90", "0s", "-1h", "1m1h", "1h30", "nan s", "1e3s"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--time-budget"):
        duration_s(text, "--time-budget")
