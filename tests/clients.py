"""The programs of others that tests hand files to. ``make clients`` installs them.

Where one is absent its tests are skipped for a user, with a sentence; with ``CI=true``, as ``.ci/run`` sets it, they
fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

FOLDER = Path(os.environ.get("CRYOSIAM_CLIENTS", Path(__file__).resolve().parents[1] / ".clients"))
"""Holds the Python environments ``pipeliner`` and ``scipion``."""


def client_program(name: str) -> str:
    """Return the path of a program on the PATH, as ``relion_reconstruct`` or ``zarr-particle-extract``."""
    path = shutil.which(name)
    return path if path is not None else _absent(name)


def client_python(name: str) -> Path:
    """Return the Python of the environment ``pipeliner`` or ``scipion``; its programs lie beside it."""
    path = FOLDER / name / "bin" / "python"
    # 'installed' is written last: an environment without it is half made.
    return path if (FOLDER / name / "installed").exists() and path.exists() else _absent(str(path))


def run_client(
    command: Sequence[str | Path],
    folder: Path,
    timeout_seconds: float = 300,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program in ``folder`` and return what it printed; one that fails fails the test with its last words."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_seconds,
    )
    if done.returncode:
        pytest.fail(f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def _absent(what: str) -> NoReturn:
    sentence = f"{what} is not installed; `make clients` installs the programs of others that this test needs"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(sentence)
    pytest.skip(sentence)
