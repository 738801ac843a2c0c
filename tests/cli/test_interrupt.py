"""Ctrl-C ends a command with one line, wherever it strikes."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from cryosiam.cli.main import INTERRUPTED, ReportingGroup


def chained(depth: int) -> None:
    """Raise what numba makes of Ctrl-C while it loads a compiled function."""
    try:
        if depth == 0:
            raise KeyboardInterrupt
        chained(depth - 1)
    except BaseException as error:
        raise SystemError("returned a result with an exception set") from error


@pytest.mark.parametrize("depth", [0, 3])
def test_an_interrupt_within_compiled_code_is_an_interrupt(depth: int) -> None:
    app = typer.Typer(cls=ReportingGroup)
    app.callback()(lambda: None)
    app.command("load")(lambda: chained(depth))
    result = CliRunner().invoke(app, ["load"])
    assert result.exit_code == INTERRUPTED
    assert "run the same command again to go on" in result.output


def test_another_fault_of_the_system_stays_one() -> None:
    def fault() -> None:
        raise SystemError("broken")

    app = typer.Typer(cls=ReportingGroup)
    app.callback()(lambda: None)
    app.command("load")(fault)
    assert isinstance(CliRunner().invoke(app, ["load"]).exception, SystemError)
