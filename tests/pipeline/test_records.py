"""Manifest, fingerprints, writing, locks, progress."""

from __future__ import annotations

import errno
import io
import json
import mmap
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cryosiam.domain import ArrayVolume
from cryosiam.errors import InputError, ProjectLockedError, StorageError
from cryosiam.pipeline.fingerprint import fingerprint
from cryosiam.pipeline.manifest import Manifest, load_manifest, manifest_schema, save_manifest
from cryosiam.pipeline.measure import measured
from cryosiam.pipeline.progress import PlainReporter, QuietReporter, TerminalReporter
from cryosiam.pipeline.storage import folder_lock, storage_errors, whole_file
from cryosiam.stages.check.digest import sha256_of_volume


def test_committed_schema_is_the_one_of_this_version() -> None:
    committed = json.loads((files("cryosiam.schemas") / "manifest.schema.json").read_text(encoding="utf-8"))
    assert committed == manifest_schema()


def test_manifest_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    manifest = Manifest(source="copick:/somewhere")
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_manifest_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 99, "source": "x", "something": "new"}')
    with pytest.raises(InputError, match="newer"):
        load_manifest(tmp_path)


FACTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=5)


@given(FACTS)
def test_fingerprint_does_not_depend_on_the_order_of_keys(facts: dict[str, object]) -> None:
    assert fingerprint(facts) == fingerprint(dict(reversed(facts.items())))


@given(FACTS, FACTS)
def test_fingerprints_of_different_facts_differ(first: dict[str, object], second: dict[str, object]) -> None:
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (fingerprint(first) == fingerprint(second)) == same


def test_digest_belongs_to_voxels_and_shape() -> None:
    voxels = np.arange(24, dtype=np.float32)
    digest = sha256_of_volume(ArrayVolume(voxels.reshape(2, 3, 4)))
    assert digest == sha256_of_volume(ArrayVolume(voxels.reshape(2, 3, 4).astype(">f4")))
    assert digest != sha256_of_volume(ArrayVolume(voxels.reshape(4, 3, 2)))
    assert digest != sha256_of_volume(ArrayVolume(voxels.reshape(2, 3, 4) + 1))


def fail_halfway(path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        fail_halfway(path)
    assert path.read_text() == "old"
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_storage_errors_become_a_sentence(code: int) -> None:
    with pytest.raises(StorageError) as caught, storage_errors("cannot write"):
        raise OSError(code, "whatever", "/data/x")
    assert str(caught.value).startswith("cannot write /data/x: ")
    assert "\n" not in str(caught.value)


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(FileNotFoundError), storage_errors():
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with folder_lock(tmp_path, lock), pytest.raises(ProjectLockedError), folder_lock(tmp_path, lock):
        pass
    with folder_lock(tmp_path, lock):
        pass


def test_peak_memory_is_seen() -> None:
    with measured() as idle:
        pass
    with measured() as cost:
        # A mapping of its own: a new array may lie in memory that the process has freed and still holds.
        block = np.frombuffer(mmap.mmap(-1, 240_000_000), np.uint8)
        block[:] = 1
    assert block[0] == 1
    assert cost.peak_memory_mib > idle.peak_memory_mib + 150
    assert cost.seconds > 0


def test_plain_lines() -> None:
    output, errors = io.StringIO(), io.StringIO()
    reporting = PlainReporter(output, errors)
    with reporting.stage("TS_01", "dense") as tiles:
        tiles(0, 4)
        tiles(4, 4)
    reporting.note("a note")
    reporting.warn("a warning")
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("TS_01: dense: done in ")
    assert lines[1:] == ["a note"]
    assert errors.getvalue() == "warning: a warning\n"


def test_quiet_says_warnings_only() -> None:
    errors = io.StringIO()
    reporting = QuietReporter(errors)
    with reporting.stage("TS_01", "dense") as tiles:
        tiles(1, 2)
    reporting.note("a note")
    reporting.warn("a warning")
    assert errors.getvalue() == "warning: a warning\n"


def test_terminal_names_run_stage_and_tiles() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with TerminalReporter(console) as reporting, reporting.stage("TS_01", "dense") as tiles:
        tiles(3, 8)
        reporting.note("a note with [brackets]")
    shown = output.getvalue()
    for part in ("TS_01", "dense", "3/8 tiles", "left", "a note with [brackets]"):
        assert part in shown
