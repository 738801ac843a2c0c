"""What a stage was begun with, kept beside its checkpoints, so that it never goes on with something else."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryosiam.errors import InputError
from cryosiam.pipeline.storage import write_text_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "stage.json"
START = "start"
"""Folder of the weights that a stage began with."""

START_PARTIAL = ".start.partial"


@dataclass(frozen=True)
class StageRecord:
    """The record of one stage.

    Parameters
    ----------
    folder
        Of the stage.
    settings
        Recipe, data and weights to start from, as JSON holds them.
    """

    folder: Path
    settings: dict[str, Any]

    @property
    def has_begun(self) -> bool:
        """Whether the folder holds more than the record and what the stage is to begin with."""
        before = {FILE_NAME, START, START_PARTIAL}
        return self.folder.is_dir() and any(entry.name not in before for entry in self.folder.iterdir())

    def check(self) -> str | None:
        """Return the digest of the weights that the stage made, or None where it is not finished.

        Raises
        ------
        InputError
            If the stage was begun with other settings.
        """
        path = self.folder / FILE_NAME
        if not self.has_begun:
            return None
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            settings, made = stored["settings"], stored["weights"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{path} is missing or damaged; remove {self.folder} to train this stage anew, or give another --out"
            ) from None
        other = next(_differences(settings, self.settings), None)
        if other is not None:
            raise InputError(
                f"{self.folder} was begun with {other}; give another --out, or remove that folder to begin anew"
            )
        return str(made) if made else None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Write that the stage has begun; where it fails before anything is learnt, nothing is left of that."""
        self._write(None)
        try:
            yield
        finally:
            if not self.has_begun:
                shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, weights: str) -> None:
        """Write that the stage has made weights of the digest ``weights``."""
        self._write(weights)

    def _write(self, weights: str | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"settings": self.settings, "weights": weights}
        write_text_whole(self.folder / FILE_NAME, json.dumps(content, indent=2) + "\n")


def _differences(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what differs, in words."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in sorted(then.keys() | now.keys()):
            yield from _differences(then.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]")
    elif then != now:
        yield f"{where} {_said(then)}, not {_said(now)}"


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value) if not isinstance(value, str) else value
