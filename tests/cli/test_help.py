"""Help must answer at once: it may not load anything heavy. How long it takes is measured in benchmarks/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cryosiam.cli.main import app

HEAVY = frozenset(
    {
        "bioimage_cpp", "cc3d", "copick", "gemmi", "lightning", "matplotlib", "mrcfile", "numba", "numpy",
        "pandas", "psutil", "pyarrow", "safetensors", "scipy", "skimage", "sklearn", "starfile", "torch", "zarr",
    }
)  # fmt: skip

CALL_AND_LIST_MODULES = """
import sys
from cryosiam.cli.main import main
try:
    main()
finally:
    sys.stderr.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def command_paths() -> list[tuple[str, ...]]:
    """Return the words after ``cryosiam`` of every command there is."""
    group = typer.main.get_command(app)
    paths: list[tuple[str, ...]] = [()]
    for name, command in getattr(group, "commands", {}).items():
        paths.append((name,))
        paths += [(name, inner) for inner in getattr(command, "commands", {})]
    return paths


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CALL_AND_LIST_MODULES, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", command_paths(), ids=" ".join)
def test_help_loads_nothing_heavy(path: tuple[str, ...], tmp_path: Path) -> None:
    shown = call(*path, "--help", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "Usage:" in shown.stdout
    assert not HEAVY & set(shown.stderr.split())


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    import cryosiam

    shown = call("--version", folder=tmp_path)
    assert shown.stdout.split() == ["cryosiam", cryosiam.__version__]


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = call("--help", folder=tmp_path).stdout
    words = shown.split()
    assert all(path[0] in words for path in command_paths() if len(path) == 1)


def test_unknown_command_is_refused(tmp_path: Path) -> None:
    refused = call("peck", folder=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "peck" in refused.stderr
