"""Find out before the work whether a folder can be written."""

from __future__ import annotations

import os
from pathlib import Path

from cryosiam.errors import StorageError


def refuse_read_only(folder: Path, hint: str) -> None:
    """Try to write into a folder, or where it is still to be made, into the nearest one above it.

    Permissions alone do not tell of read-only mounts. Nothing is left behind.

    Parameters
    ----------
    folder
        Folder that products will go to.
    hint
        What to do where it cannot be written, for the message.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    probe = there / f".cryosiam-write-test-{os.getpid()}"
    try:
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        raise StorageError(f"{there} cannot be written ({error.strerror}); {hint}") from error
