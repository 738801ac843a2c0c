"""Files that are whole or not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryosiam.files import whole_file, write_text_whole


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_whole(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_the_dead_left_is_removed_and_the_living_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a [1].txt"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f".{path.name}.{ended.pid}.part"
    living = tmp_path / f".{path.name}.{os.getppid()}.part"
    other = tmp_path / f".b.txt.{ended.pid}.part"
    for one in (dead, living, other):
        one.write_text("half")
    write_text_whole(path, "new")
    assert path.read_text() == "new"
    assert not dead.exists()
    assert living.exists()
    assert other.exists()
