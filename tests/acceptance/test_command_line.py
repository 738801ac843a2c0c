"""The command itself: speed, help, version, adapters, info, copick's plug-in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cryosiam as package

COMMAND = Path(sys.executable).parent / "cryosiam"


def test_help_answers_at_once() -> None:
    """Half a second of processor time; wall time is in benchmarks/, because this machine may be busy."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([COMMAND, "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cryosiam.cli.main import app\n"
        "try: app(['pick', '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('torch','numpy','copick','zarr','sklearn','matplotlib') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_every_command_has_help_with_an_example(call: Any) -> None:
    listed = call("--help")
    assert listed.returncode == 0
    for command in ("pick", "denoise", "segment", "instances", "embed", "classify"):
        assert command in listed.stdout
        result = call(command, "--help")
        assert result.returncode == 0
        assert f"cryosiam {command} --copick project.json" in result.stdout


def test_version(call: Any) -> None:
    assert call("--version").stdout.strip() == f"cryosiam {package.__version__}"


def test_adapters(call: Any) -> None:
    lines = call("adapters").stdout.splitlines()
    for name, can in (
        ("copick", "tomograms"),
        ("mrc", "segmentations"),
        ("relion", "tomograms"),
        ("star", "scores"),
        ("relion4", "classes"),
        ("relion5", "classes"),
    ):
        assert any(line.startswith(name) and can in line for line in lines)


def test_info(make_project: Any, weights: Path, call: Any) -> None:
    project = make_project(shape=(24, 32, 40), runs=2)
    broken = project.folder / "overlay" / "ExperimentRuns" / "TS_03" / "VoxelSpacing10.000"
    broken.mkdir(parents=True)
    before = project.contents()
    result = call("info", project.config, "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert "TS_01" in result.stdout
    assert "24 32 40" in result.stdout
    assert "has no tomogram" in result.stdout
    assert "would do" in result.stdout
    assert project.contents() == before
    assert call("info", project.folder / "nothing.json").returncode == 1


def test_copick_plugin(make_project: Any, weights: Path) -> None:
    project = make_project(shape=(24, 32, 40))
    copick = Path(sys.executable).parent / "copick"
    result = subprocess.run(
        [copick, "inference", "cryosiam", "--config", project.config, "--weights", weights, "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "TS_01" in result.stdout
    assert "would run" in result.stdout
