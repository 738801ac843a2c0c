"""What the user sees while the pipeline works."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from cryosiam.stages.stage import TileProgress

LINE_SECONDS = 15.0
"""Plain output says how far a stage is at most this often."""


class Reporter(Protocol):
    """Tells the user about the work."""

    def note(self, text: str) -> None:
        """Say something that `--quiet` leaves out."""
        ...

    def warn(self, text: str) -> None:
        """Say something the user should know of in any case."""
        ...

    def stage(self, run: str, stage: str) -> AbstractContextManager[TileProgress]:
        """Show that ``stage`` of ``run`` is under way; the function it gives reports tiles."""
        ...


class QuietReporter:
    """Warnings only, on standard error."""

    def __init__(self, errors: IO[str] | None = None) -> None:
        self._errors = errors or sys.stderr

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Write one line to standard error."""
        self._errors.write(f"warning: {text}\n")
        self._errors.flush()

    @contextmanager
    def stage(self, run: str, stage: str) -> Iterator[TileProgress]:
        """Show nothing."""
        yield lambda done, total: None


class PlainReporter(QuietReporter):
    """One line per event, for log files and pipes."""

    def __init__(self, output: IO[str] | None = None, errors: IO[str] | None = None) -> None:
        super().__init__(errors)
        self._output = output or sys.stdout

    def note(self, text: str) -> None:
        """Write one line to standard output."""
        self._output.write(f"{text}\n")
        self._output.flush()

    @contextmanager
    def stage(self, run: str, stage: str) -> Iterator[TileProgress]:
        """Write a line when the stage ends, and on the way one every `LINE_SECONDS` seconds."""
        started = last = time.monotonic()

        def tiles(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if 0 < done < total and now - last >= LINE_SECONDS:
                last = now
                left = (now - started) / done * (total - done)
                self.note(f"{run}: {stage}: tile {done} of {total}, about {left:.0f} s left")

        yield tiles
        self.note(f"{run}: {stage}: done in {time.monotonic() - started:.1f} s")


class TerminalReporter:
    """A progress line with run, stage, tiles and time left; notes scroll above it. Use it as a context manager.

    Parameters
    ----------
    console
        Where to draw; a new one on standard output by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = console or Console()
        self._progress: Progress = Progress(
            TextColumn("[bold]{task.fields[run]}"),
            TextColumn("{task.fields[stage]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[tiles]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Print above the progress line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print above the progress line, marked as a warning."""
        self._console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, run: str, stage: str) -> Iterator[TileProgress]:
        """Show a bar for the stage while it runs."""
        task = self._progress.add_task("", total=None, run=run, stage=stage, tiles="")

        def tiles(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total, tiles=f"{done}/{total} tiles", refresh=True)

        try:
            yield tiles
        finally:
            self._progress.remove_task(task)


@contextmanager
def reporter(quiet: bool = False) -> Iterator[Reporter]:
    """Give the reporter that suits standard output: quiet, a terminal's display, or plain lines."""
    if quiet:
        yield QuietReporter()
    elif sys.stdout.isatty():
        with TerminalReporter() as terminal:
            yield terminal
    else:
        yield PlainReporter()
