"""Stopped at any moment, the command leaves nothing half-written, and the next call goes on from there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

COMMAND = Path(sys.executable).parent / "cryosiam"
SHAPE = (40, 48, 56)


def start(project: Any, weights: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, "pick", "--copick", project.config, "--weights", weights],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop_after(process: subprocess.Popen[str], line: str, how: signal.Signals) -> tuple[str, str]:
    """Send a signal once the process has written ``line``; return what it wrote in all."""
    assert process.stdout is not None
    seen = ""
    for text in process.stdout:
        seen += text
        if line in text:
            break
    process.send_signal(how)
    rest, errors = process.communicate(timeout=120)
    return seen + rest, errors


def records(project: Any) -> dict[str, Any]:
    path = project.out / "manifest.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    return {f"{run} {name}": part for run, record in runs.items() for name, part in record["stages"].items()}


def visible_products(project: Any) -> list[Path]:
    """Return every product that a copick user would see."""
    runs = project.folder / "overlay" / "ExperimentRuns"
    return [path for path in runs.glob("*/*/*cryosiam*") if not path.name.startswith(".")]


def assert_products_are_whole(project: Any) -> None:
    for path in visible_products(project):
        if path.suffix == ".zarr":
            array = zarr.open(str(path / "0"), mode="r")
            assert array.shape == SHAPE
            assert array.nchunks_initialized == array.nchunks or not np.any(array[:])
        else:
            json.loads(path.read_text())


def results(project: Any) -> dict[str, Any]:
    """Return what a user keeps: picks, labels and the STAR file, without times."""
    found: dict[str, Any] = {"star": (project.out / "picks.star").read_text()}
    for path in visible_products(project):
        name = str(path.relative_to(project.folder))
        found[name] = (
            zarr.open(str(path / "0"), mode="r")[:].tobytes()
            if path.suffix == ".zarr"
            else json.loads(path.read_text())["points"]
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_goes_on_from_the_last_complete_stage(
    make_project: Any, weights: Path, cryosiam: Any, how: signal.Signals
) -> None:
    project, whole = make_project("stopped", SHAPE, 2), make_project("whole", SHAPE, 2)
    assert cryosiam("pick", "--copick", whole.config, "--weights", weights).returncode == 0

    process = start(project, weights)
    output, errors = stop_after(process, "TS_01: dense: done", how)
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert errors.strip() == "stopped; run the same command again to go on"
    assert_products_are_whole(project)
    done = records(project)
    assert "TS_01 dense" in done
    assert "TS_02 classify" not in done

    result = cryosiam("pick", "--copick", project.config, "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert "TS_01: dense" not in result.stdout
    after = records(project)
    assert all(after[name] == record for name, record in done.items())
    assert {name.replace("stopped", "whole"): value for name, value in results(project).items()} == results(whole)
    assert "TS_02: dense" in result.stdout
    assert output


@pytest.mark.slow
def test_killed_again_and_again(make_project: Any, weights: Path, cryosiam: Any) -> None:
    project, whole = make_project("stopped", SHAPE), make_project("whole", SHAPE)
    assert cryosiam("pick", "--copick", whole.config, "--weights", weights).returncode == 0
    lines = ("TS_01: check", "TS_01: dense", "TS_01: instances", "TS_01: embed", "TS_01: classify")
    for line in lines:
        process = start(project, weights)
        stop_after(process, line, signal.SIGKILL)
        # A moment later the next stage would be under way: nothing of it may be seen.
        assert_products_are_whole(project)
    assert cryosiam("pick", "--copick", project.config, "--weights", weights).returncode == 0
    assert results(project) == results(whole)
    leftovers = [path for path in project.folder.rglob(".*") if "part" in path.name or "tmp" in path.name]
    assert leftovers == []


@pytest.mark.slow
def test_two_processes_on_one_project(make_project: Any, weights: Path, cryosiam: Any, tmp_path: Path) -> None:
    project = make_project(shape=SHAPE)
    process = start(project, weights)
    try:
        assert process.stdout is not None
        assert "check" in process.stdout.readline()
        while not list(project.folder.rglob("TS_01.lock")):
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        for options in ([], ["--out", tmp_path / "elsewhere"]):
            result = cryosiam("pick", "--copick", project.config, "--weights", weights, *options)
            assert result.returncode == 1
            assert len(result.stderr.splitlines()) == 1
            assert "another cryosiam process" in result.stderr or "in use by process" in result.stderr
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=120)
    assert process.returncode == 0
