"""The installer of other programs says in one sentence what it cannot have; tests skip for a user and fail in CI."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .clients import client_program, client_python

SCRIPT = Path(__file__).parents[1] / ".ci" / "clients"


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """Return a folder that holds no program but those the script itself needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "cmp", "dirname", "env", "id"):
        program = shutil.which(name)
        assert program is not None
        (folder / name).symlink_to(program)
    return folder


def installed(tmp_path: Path, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "CRYOSIAM_CLIENTS": str(tmp_path / "clients")}
    return subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=60)


def test_what_cannot_be_installed_is_said_in_a_sentence_each(tmp_path: Path, bare_path: Path) -> None:
    done = installed(tmp_path, bare_path)
    assert done.returncode == 1
    said = sorted(done.stderr.splitlines())
    assert said == [
        "clients: RELION 3.1 comes as Debian's package relion, but there is no apt-get here",
        "clients: pipeliner needs Python 3.11, and 'python3.11' is none; name one: PYTHON=/path/to/python3.11",
        "clients: scipion needs Python 3.11, and 'python3.11' is none; name one: PYTHON=/path/to/python3.11",
    ]


def test_debian_packages_need_root_or_sudo(tmp_path: Path, bare_path: Path) -> None:
    (bare_path / "apt-get").symlink_to("/bin/true")
    (bare_path / "id").unlink()
    (bare_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (bare_path / "id").chmod(0o755)
    sentence = "clients: installing Debian's package relion needs root, or sudo without a password"
    assert sentence in installed(tmp_path, bare_path).stderr.splitlines()


def test_what_is_there_is_left_as_it_is(tmp_path: Path, bare_path: Path) -> None:
    (bare_path / "relion_preprocess").symlink_to("/bin/true")
    for name in ("pipeliner", "scipion"):
        (tmp_path / "clients" / name).mkdir(parents=True)
        shutil.copy(SCRIPT.with_name(f"clients-{name}.txt"), tmp_path / "clients" / name / "installed")
    done = installed(tmp_path, bare_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_absence_skips_for_a_user_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    for absent in (lambda: client_program("no-such-program"), lambda: client_python("no-such-environment")):
        with pytest.raises(outcome, match="is not installed; `make clients` installs"):
            absent()
