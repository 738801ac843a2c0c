"""Writing into copick projects that fails, is killed or meets another process leaves what was there."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cryosiam.domain import (
    ArrayVolume,
    Picks,
)
from cryosiam.domain.tomogram import Box
from cryosiam.errors import ProjectLockedError, StorageError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.integrations.copick.source import CopickSource

from .copick_products import KEY, NAMES, label_volume, leftovers, opened, read_back, some_picks


@contextmanager
def without_privileges() -> Iterator[Path]:
    """Give a folder that anybody can reach, and for root drop the right to write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        user = os.geteuid()
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


def test_read_only_project(project: Any) -> None:
    with without_privileges() as folder:
        overlay = folder / "overlay"
        project.overlay.rename(overlay)
        path = folder / "project.json"
        path.write_text(project.config_path.read_text().replace(str(project.overlay), str(overlay)))
        sink = CopickSink(path)
        tomogram = CopickSource(path).tomogram("TS_01")
        for inner in [overlay, *(p for p in overlay.rglob("*") if p.is_dir()), folder]:
            inner.chmod(0o555)
        before = sorted(folder.rglob("*"))
        if os.geteuid() == 0:
            os.seteuid(65534)
        with pytest.raises(StorageError, match="cannot be written"):
            sink.check(["TS_01"], KEY)
        with pytest.raises(StorageError):
            sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
        with pytest.raises(StorageError), sink.lock("TS_01"):
            pass
        os.seteuid(os.getuid())
        assert sorted(folder.rglob("*")) == before
        for inner in [overlay, *(p for p in overlay.rglob("*") if p.is_dir()), folder]:
            inner.chmod(0o755)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let the operating system refuse to write more than ``size`` bytes into a file, as a full disk would."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def replace_many(picks: Picks, times: int) -> Picks:
    return Picks(
        run=picks.run,
        positions_angstrom=np.tile(picks.positions_angstrom, (times, 1)),
        scores=np.tile(picks.scores, times),
        class_names=picks.class_names * times,
    )


def test_write_that_the_system_refuses_leaves_the_old_product(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
    sink.write_picks(tomogram, some_picks(), KEY)
    config = project.config_path.read_bytes()
    again = CopickSink(project.config_path, overwrite=True)
    new = ArrayVolume(project.voxels + 1)
    with files_no_larger_than(2000):
        with pytest.raises(StorageError):
            again.write_tomogram(replace(tomogram, tomogram_type="denoised", volume=new), KEY)
        with pytest.raises(StorageError):
            again.write_picks(tomogram, replace_many(some_picks(), 100), KEY)
        with pytest.raises(StorageError):
            again.write_segmentation(tomogram, ArrayVolume(label_volume(tomogram.shape, 5)), NAMES, KEY)
    assert leftovers(project) == []
    assert json.loads(config) != {}
    with logging_kept():
        run = read_back(project)
        np.testing.assert_array_equal(run.get_voxel_spacing(10.0).get_tomograms("denoised")[0].numpy(), project.voxels)
        assert len(run.get_picks("class-1", user_id="cryosiam")[0].numpy()[0]) == 2
        assert run.get_segmentations(user_id="cryosiam") == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 200 kB, where the machine lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no right to mount a small file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(project: Any, tiny_disk: Path) -> None:
    project.edit(static_root=str(project.overlay), overlay_root=str(tiny_disk))
    source = CopickSource(project.config_path)
    noise = ArrayVolume(np.random.default_rng(3).normal(size=(40, 60, 60)).astype(np.float32))
    tomogram = replace(source.tomogram("TS_01"), volume=noise, tomogram_type="denoised")
    with pytest.raises(StorageError, match="the disk is full"):
        CopickSink(project.config_path).write_tomogram(tomogram, KEY)
    assert [path.name for path in tiny_disk.rglob("*") if path.is_file()] in ([], [".meta"], [".meta", ".meta"])


class InterruptedVolume:
    """A volume whose second block never comes."""

    shape = (300, 20, 20)

    def __init__(self) -> None:
        self.reads = 0

    def read(self, box: Box) -> NDArray[np.float32]:
        self.reads += 1
        if self.reads == 2:
            raise KeyboardInterrupt
        return np.ones([side.stop - side.start for side in box], np.float32)


def test_interrupt_leaves_nothing_half_written(project: Any) -> None:
    tomogram, sink = opened(project)
    with pytest.raises(KeyboardInterrupt):
        sink.write_tomogram(replace(tomogram, volume=InterruptedVolume(), tomogram_type="denoised"), KEY)
    assert leftovers(project) == []
    assert CopickSource(project.config_path).choices("TS_01") == ["wbp@10.0"]


KILLED = """
import os, signal, sys
from dataclasses import replace
import numpy as np
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.ports import ProductKey

class Killing:
    shape = (300, 20, 20)
    def read(self, box):
        if box[0].start:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.ones([side.stop - side.start for side in box], np.float32)

sink = CopickSink(sys.argv[1], overwrite=True)
tomogram = CopickSource(sys.argv[1], "wbp").tomogram("TS_01")
with sink.lock("TS_01"):
    sink.write_tomogram(replace(tomogram, volume=Killing(), tomogram_type="denoised"), ProductKey("cryosiam", "7"))
"""


def test_killed_process_leaves_the_old_product_and_the_next_one_clears_up(project: Any) -> None:
    tomogram, sink = opened(project)
    denoised = replace(tomogram, tomogram_type="denoised")
    sink.write_tomogram(denoised, KEY)
    done = subprocess.run([sys.executable, "-c", KILLED, str(project.config_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert leftovers(project)
    source = CopickSource(project.config_path, "denoised")
    np.testing.assert_array_equal(
        source.tomogram("TS_01").volume.read((slice(0, 20), slice(0, 30), slice(0, 45))), project.voxels
    )
    assert source.choices("TS_01") == ["denoised@10.0", "wbp@10.0"]
    with sink.lock("TS_01"):
        CopickSink(project.config_path, overwrite=True).write_tomogram(denoised, KEY)
    assert leftovers(project) == []


def test_killed_between_the_two_renames(project: Any) -> None:
    tomogram, sink = opened(project)
    path = Path(sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY))
    path.rename(path.with_name(f".{path.name}.old"))
    with pytest.raises(KeyboardInterrupt):
        sink.write_tomogram(replace(tomogram, volume=InterruptedVolume(), tomogram_type="denoised"), KEY)
    assert path.is_dir()
    assert leftovers(project) == []


HOLDING = """
import sys, time
from cryosiam.integrations.copick.sink import CopickSink
with CopickSink(sys.argv[1]).lock("TS_01"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_on_one_run(project: Any) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(project.config_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    sink = CopickSink(project.config_path)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ProjectLockedError, match=f"in use by process {holder.pid} on "), sink.lock("TS_01"):
            pass
        with sink.lock("TS_02"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with sink.lock("TS_01"):
        pass
