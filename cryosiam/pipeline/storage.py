"""Locks on folders, and operating-system errors in words."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryosiam.errors import ProjectLockedError, StorageError
from cryosiam.files import whole_file, write_text_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["folder_lock", "storage_error", "storage_errors", "whole_file", "write_text_whole"]

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again to go on",
    errno.EDQUOT: "your disk quota is used up; free some space and run the same command again to go on",
    errno.EFBIG: "the file would exceed the largest size allowed here; use another disk",
    errno.ENOTDIR: "a part of that path is a file, not a folder; give another folder",
    errno.EROFS: "the file system is read-only; use a copy or another folder",
    errno.EACCES: "you have no permission to write there; use a copy or another folder",
    errno.EPERM: "you have no permission to write there; use a copy or another folder",
    errno.EIO: "the disk reports an input/output error; check it and run the same command again to go on",
}


def storage_error(error: OSError, what: str) -> StorageError | None:
    """Return the sentence for an operating-system error, or None where it says nothing about storage."""
    reason = _REASONS.get(error.errno or 0)
    if reason is None:
        return None
    where = error.filename2 or error.filename
    return StorageError(f"{what} {where}: {reason}" if where else f"{what}: {reason}")


@contextmanager
def storage_errors(what: str = "cannot write") -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into a `StorageError` of one sentence.

    Raises
    ------
    StorageError
        In place of the `OSError`; other operating-system errors pass unchanged.
    """
    try:
        yield
    except OSError as error:
        known = storage_error(error, what)
        if known is None:
            raise
        raise known from error


@contextmanager
def folder_lock(folder: Path, lock_file: Path) -> Iterator[None]:
    """Hold ``folder`` for this process by a lock on ``lock_file``. The lock ends with the process, however that ends.

    Raises
    ------
    ProjectLockedError
        If another process holds it.
    """
    import fcntl

    busy = f"another cryosiam process is writing to {folder}; wait for it to end or give another --out"
    with storage_errors("cannot write to"), lock_file.open("a", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A process that leaves no results behind removes the file; a lock on a removed file holds nobody off.
            if os.fstat(stream.fileno()).st_ino != lock_file.stat().st_ino:
                raise ProjectLockedError(busy)
        except (BlockingIOError, FileNotFoundError) as error:
            raise ProjectLockedError(busy) from error
        yield
