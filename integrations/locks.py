"""Locks that end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryosiam.errors import ProjectLockedError
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held(path: Path, what: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file ``path``.

    The operating system gives the lock back when the process ends, also when it is killed; the file stays.

    Parameters
    ----------
    path
        Lock file; its folder is made.
    what
        What is locked, for the message.
    wait
        Wait for another holder instead of raising; only for moments-long work.

    Raises
    ------
    ProjectLockedError
        If another process holds it.
    StorageError
        If the lock file cannot be written.
    """
    with storage_errors(f"cannot lock {what} with"):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise ProjectLockedError(f"{what} is in use by {holder}; wait for it to end, or stop it") from error
        stream.seek(0)
        stream.truncate()
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        yield
