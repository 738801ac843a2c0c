"""Replace a folder whole: its readers see the old content or the new, never a part."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` that takes its place on success and is removed on failure.

    Both names begin with a dot, so copick does not list them. What an earlier process left behind when it was killed is
    cleared first: its unfinished folder goes, and if it was killed between moving the old folder away and the new one
    in, the old one comes back. The caller holds the lock of the run, so no living process owns such remains.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.with_name(f".{path.name}.old")
    _clear_remains(path, old)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _clear_remains(path: Path, old: Path) -> None:
    for part in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(part)
    if old.exists() and not path.exists():
        old.rename(path)
    elif old.exists():
        shutil.rmtree(old)
