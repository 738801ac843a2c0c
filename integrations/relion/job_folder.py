"""A folder of a RELION job: how it ended, what it made, and whether the user wants it to stop.

RELION learns all that from files (documentation "Using RELION", External job; pipeliner.cpp,
``checkProcessCompletion``).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cryosiam.files import write_text_whole
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ABORT_NOW: Final = "RELION_JOB_ABORT_NOW"
_NODES: Final = "RELION_OUTPUT_NODES.star"
_LOOK_SECONDS: Final = 0.5
_GRACE_SECONDS: Final = 10.0
STOPPED: Final = 130
"""Exit code of a job that was told to stop, as shells have it after Ctrl-C."""


class JobEnd(StrEnum):
    """How a job ended, by the file that says so."""

    SUCCESS = "RELION_JOB_EXIT_SUCCESS"
    FAILURE = "RELION_JOB_EXIT_FAILURE"
    ABORTED = "RELION_JOB_EXIT_ABORTED"


@dataclass(frozen=True)
class OutputNode:
    """A file that RELION offers to other jobs and shows to the user.

    Parameters
    ----------
    path
        The file.
    label
        Type in RELION 4 and 5.
    number
        Type in RELION 3.1.
    """

    path: Path
    label: str
    number: int


class JobFolder:
    """The folder of a RELION job.

    Parameters
    ----------
    path
        The folder, as RELION named it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Make the folder where it is not there, and remove what an earlier run of the job said about its end.

        RELION writes ``job.star`` when the user starts the job; a request to stop that is younger is meant for this run
        and stays.

        Raises
        ------
        StorageError
            If the folder cannot be written.
        """
        with storage_errors("cannot write to"):
            refuse_read_only(self.path, "RELION could not be told how the job ends; make it writable")
            self.path.mkdir(parents=True, exist_ok=True)
            for name in JobEnd:
                (self.path / name).unlink(missing_ok=True)
            if self.is_to_stop() and not self._asked_since_start():
                (self.path / _ABORT_NOW).unlink(missing_ok=True)

    def is_to_stop(self) -> bool:
        """Tell whether the user asked the job to stop."""
        return (self.path / _ABORT_NOW).exists()

    def end(self, how: JobEnd) -> None:
        """Tell RELION how the job ended; nothing may come after that.

        Raises
        ------
        StorageError
            If the folder cannot be written any more.
        """
        with storage_errors("cannot write to"):
            for name in JobEnd:
                if name != how:
                    (self.path / name).unlink(missing_ok=True)
            (self.path / _ABORT_NOW).unlink(missing_ok=True)
            (self.path / how).touch()

    def write_nodes(self, nodes: Sequence[OutputNode]) -> None:
        """Tell RELION what the job made. RELION 3.1 reads the numbers, 4 and 5 the labels, each leaving the other.

        Where it made nothing there is no file, nor an earlier one.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        columns = ("rlnPipeLineNodeName", "rlnPipeLineNodeType", "rlnPipeLineNodeTypeLabel")
        if not nodes:
            (self.path / _NODES).unlink(missing_ok=True)
            return
        rows = [f"{node.path.as_posix()} {node.number} {node.label}" for node in nodes]
        head = [f"_{name} #{number}" for number, name in enumerate(columns, start=1)]
        text = "\n".join(["", "data_output_nodes", "", "loop_", *head, *rows, "", ""])
        with storage_errors():
            write_text_whole(self.path / _NODES, text)

    def _asked_since_start(self) -> bool:
        started = self.path / "job.star"
        return started.exists() and (self.path / _ABORT_NOW).stat().st_mtime > started.stat().st_mtime


class StopRequests:
    """Turns SIGTERM, SIGINT and RELION's abort file into `KeyboardInterrupt` in the main thread.

    Shells start background jobs, as RELION's are, with SIGINT ignored, so that a handler must be set. Where the main
    thread does not come back, because compiled code is at work or swallows the interrupt, the process is ended after
    `_GRACE_SECONDS`; files of CryoSiam are whole or not there at any time.

    Parameters
    ----------
    folder
        The job's folder.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._requested = threading.Event()
        self._over = threading.Event()

    @property
    def any(self) -> bool:
        """True once the job was asked to stop."""
        return self._requested.is_set()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed requests for as long as the context lasts, or until `close`."""
        earlier = {number: signal.signal(number, self._interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
        threading.Thread(target=self._watch, name="abort-watcher", daemon=True).start()
        try:
            yield
        finally:
            self.close()
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Heed no more requests: nothing may come between the work and the word on its end."""
        self._over.set()

    def _interrupt(self, number: int, frame: Any) -> None:
        first = not self._requested.is_set() and not self._over.is_set()
        if first:
            self._requested.set()
            raise KeyboardInterrupt

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            if self._folder.is_to_stop() and not self.any:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            if self.any and not self._over.wait(_GRACE_SECONDS):
                sys.stderr.write("stopped; continue the job to go on\n")
                sys.stderr.flush()
                self._folder.end(JobEnd.ABORTED)
                os._exit(STOPPED)
