"""What is kept and shown of training: a table, curves for TensorBoard, and lines for the user."""

from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING, Any, Final

from cryosiam.errors import StorageError
from cryosiam.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TABLE: Final = "log.csv"
CURVES: Final = "tensorboard"
LINE_SECONDS: Final = 30.0
"""Plain output says how far training is at most this often."""


class TrainingLog:
    """Figures of each step, in ``log.csv`` and, where TensorBoard is installed, as curves.

    Parameters
    ----------
    folder
        Of the stage.
    step
        Steps already done; what the log holds of later ones is forgotten, because they are done again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / TABLE
        self._columns, rows = _read_table(self._path, step)
        self._write_table(rows)
        self._curves = _curves(folder / CURVES, step)

    def write(self, rows: list[dict[str, float]]) -> None:
        """Append rows; each has a ``step``, and any other figures."""
        new = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns]
        if new:
            _, old = _read_table(self._path, int(rows[0]["step"]) - 1)
            self._columns += new
            self._write_table(old)
        try:
            with self._path.open("a", newline="", encoding="utf-8") as stream:
                csv.DictWriter(stream, self._columns, lineterminator="\n").writerows(map(_rounded, rows))
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        for row in rows:
            self._plot(row)

    def close(self) -> None:
        """Write out what is still in memory."""
        if self._curves is not None:
            self._curves.close()

    def _plot(self, row: Mapping[str, float]) -> None:
        if self._curves is not None:
            for name, value in row.items():
                if name != "step":
                    self._curves.add_scalar(name, value, int(row["step"]))

    def _write_table(self, rows: list[dict[str, str]]) -> None:
        try:
            with whole_file(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, self._columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise _cannot_write(self._path, error) from error


def _read_table(path: Path, step: int) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a log and its whole rows up to a step; a kill can cut the last one short."""
    if not path.exists():
        return ["step"], []
    text = path.read_text(encoding="utf-8")
    reader = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    rows = [row for row in reader if row["step"].isdigit() and int(row["step"]) <= step]
    return list(reader.fieldnames or ["step"]), rows


def _rounded(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.0f}" if name == "step" else f"{value:.6g}" for name, value in row.items()}


def _cannot_write(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write the log {path} ({error.strerror}): free some space or mend the folder, and run the same command "
        "again to go on"
    )


def _curves(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


class Lines:
    """Says in plain lines how far training is.

    Parameters
    ----------
    name
        Of the stage.
    first, steps
        Steps done before this sitting, and all steps.
    report
        Takes a line.
    """

    def __init__(self, name: str, first: int, steps: int, report: Callable[[str], None]) -> None:
        self._name, self._first, self._steps, self._report = name, first, steps, report
        self._started = self._last = time.monotonic()

    def step(self, step: int, loss: float, waited: float) -> None:
        """Say how far it is, with the loss and the share of time spent waiting, if the last line is long ago."""
        now = time.monotonic()
        if now - self._last < LINE_SECONDS:
            return
        self._last = now
        each = (now - self._started) / (step - self._first)
        self._report(
            f"{self._name}: step {step} of {self._steps}, loss {loss:.4g}, {each:.2g} s a step, "
            f"waited for data {waited:.0%} of the time, about {duration(each * (self._steps - step))} left"
        )


def described(figures: Mapping[str, float]) -> str:
    """Return figures as text."""
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def duration(seconds: float) -> str:
    """Return seconds as a user reads them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
