"""A full disk and a read-only file system, for real: a small file system of our own, mounted for one command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zarr

COMMAND = Path(sys.executable).parent / "cryosiam"
SHAPE = (40, 48, 56)


def in_own_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; what it mounts is gone when it ends."""
    return subprocess.run(["unshare", "-rm", "sh", "-ec", script], capture_output=True, text=True, check=False)


@pytest.fixture
def mount_point(tmp_path: Path) -> Path:
    point = tmp_path / "mounted"
    point.mkdir()
    try:
        can_mount = in_own_namespace(f"mount -t tmpfs -o size=1m tmpfs {point}").returncode == 0
    except FileNotFoundError:
        can_mount = False
    if not can_mount:
        pytest.skip("this machine does not let a user mount file systems in a namespace")
    return point


def one_sentence(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("error: ")
    return lines[0]


def test_read_only_file_system(make_project: Any, weights: Path, mount_point: Path) -> None:
    project = make_project(shape=SHAPE)
    before = project.contents()
    result = in_own_namespace(
        f"mount --bind {project.folder} {project.folder}; mount -o remount,ro,bind {project.folder}; "
        f"{COMMAND} pick --copick {project.config} --weights {weights}"
    )
    assert result.returncode == 1
    assert "read-only" in one_sentence(result.stderr).lower()
    elsewhere = in_own_namespace(
        f"mount --bind {project.folder} {project.folder}; mount -o remount,ro,bind {project.folder}; "
        f"{COMMAND} pick --copick {project.config} --weights {weights} --out {project.folder.parent / 'out'}"
    )
    assert elsewhere.returncode == 1
    assert "read-only" in one_sentence(elsewhere.stderr).lower()
    assert project.contents() == before
    assert not (project.folder.parent / "out").exists()


def visible_products(folder: Path) -> list[Path]:
    """Return every product that a copick user would see under ``folder``."""
    found = (folder / "overlay" / "ExperimentRuns").glob("*/*/*cryosiam*")
    return [path for path in found if not path.name.startswith(".")]


def assert_products_are_whole(folder: Path) -> None:
    for path in visible_products(folder):
        if path.suffix == ".zarr":
            array = zarr.open(str(path / "0"), mode="r")
            # Counted by hand: to zarr the folder of a chunk that was never written is a chunk.
            chunks = [file for file in (path / "0").rglob("[0-9]*") if file.is_file()]
            assert len(chunks) == array.nchunks, path
            # Reading decodes every chunk: one cut short raises.
            assert array[:].shape == SHAPE, path
        else:
            assert json.loads(path.read_text())["points"] is not None, path


class SmallDisk:
    """Picks on a disk with a stated room, then again, with plenty, on what that left."""

    def __init__(self, project: Any, weights: Path, mount_point: Path) -> None:
        self.folder: Path = project.folder
        self.mount_point = mount_point
        self.pick = f"{COMMAND} pick --copick {self.folder}/project.json --weights {weights}"
        self.used_kib = sum(len(data) // 1024 + 8 for data in project.contents().values())

    def suffices(self, spare_kib: int, left: Path) -> bool:
        """Return whether the room is enough; where it is not, all that was promised for a full disk must hold."""
        left.mkdir()
        result = in_own_namespace(
            f"mount -t tmpfs -o size=1g tmpfs {self.mount_point}; cp -a {self.folder}/. {self.mount_point}; "
            f"mount --bind {self.mount_point} {self.folder}; "
            f"mount -o remount,size={self.used_kib + spare_kib}k {self.mount_point}; "
            f"set +e; {self.pick}; code=$?; cp -a {self.folder}/. {left}; "
            f"mount -o remount,size=1g {self.mount_point}; {self.pick} >&2; echo again $? >&2; exit $code"
        )
        lines = result.stderr.splitlines()
        assert lines[-1] == "again 0"
        assert "Traceback" not in result.stderr
        assert_products_are_whole(left)
        if result.returncode == 0:
            return True
        assert result.returncode == 1, result.stdout + result.stderr
        assert lines[0].startswith("error: ")
        assert "disk" in lines[0] or "room" in lines[0] or "space" in lines[0]
        return False


@pytest.mark.slow
def test_full_disk(make_project: Any, weights: Path, mount_point: Path, tmp_path: Path) -> None:
    """Room for nothing, for the network's maps, and for all but the last of the products."""
    disk = SmallDisk(make_project(shape=SHAPE), weights, mount_point)
    nothing, maps, enough = 200, 1500, 12000
    for spare_kib in (nothing, maps):
        left = tmp_path / f"left{spare_kib}"
        assert not disk.suffices(spare_kib, left)
        assert not visible_products(left)
    assert disk.suffices(enough, tmp_path / f"left{enough}")
    # How much all of it takes depends on the machine, so the least room that is enough is searched for.
    too_little = maps
    while enough - too_little > 50:
        middle = (enough + too_little) // 2
        if disk.suffices(middle, tmp_path / f"left{middle}"):
            enough = middle
        else:
            too_little = middle
    assert visible_products(tmp_path / f"left{too_little}")
