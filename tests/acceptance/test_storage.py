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


@pytest.mark.slow
@pytest.mark.parametrize(("spare_kib", "leaves_products"), [(200, False), (1500, False), (2500, True)])
def test_full_disk(
    make_project: Any, weights: Path, mount_point: Path, tmp_path: Path, spare_kib: int, leaves_products: bool
) -> None:
    """Room for nothing, for the network's maps, and for some of the products."""
    project = make_project(shape=SHAPE)
    left = tmp_path / "left"
    left.mkdir()
    used_kib = sum(len(data) // 1024 + 8 for data in project.contents().values())
    picks = f"{COMMAND} pick --copick {project.folder}/project.json --weights {weights}"
    result = in_own_namespace(
        f"mount -t tmpfs -o size=1g tmpfs {mount_point}; cp -a {project.folder}/. {mount_point}; "
        f"mount --bind {mount_point} {project.folder}; "
        f"mount -o remount,size={used_kib + spare_kib}k {mount_point}; "
        f"set +e; {picks}; code=$?; cp -a {project.folder}/. {left}; "
        f"mount -o remount,size=1g {mount_point}; {picks} >&2; echo again $? >&2; exit $code"
    )
    lines = result.stderr.splitlines()
    assert result.returncode == 1, result.stdout + result.stderr
    assert lines[0].startswith("error: ")
    assert "disk" in lines[0] or "room" in lines[0] or "space" in lines[0]
    assert "Traceback" not in result.stderr
    assert lines[-1] == "again 0"
    assert bool(visible_products(left)) == leaves_products
    assert_products_are_whole(left)
