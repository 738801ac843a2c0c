"""The plug-in for Scipion, built and run by the real pyworkflow, scipion-em and scipion-em-tomo, without a screen.

Its own tests are unittest's, as Scipion wants them. The protocols among them run the installed ``cryosiam``, by weights
that are a threshold: the balls in their tomograms are found where they are, to a fraction of a voxel.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from setuptools import find_packages

from ...acceptance.conftest import write_weights  # noqa: TID252 - tests are no package
from ...clients import client_python, run_client  # noqa: TID252 - tests are no package

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "integrations" / "scipion"
MODULE = "cryosiam_scipion"
BUILD = "import setuptools; setuptools.setup()"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build the plug-in, and return the variables of a Scipion that has it."""
    python = client_python("scipion")
    folder = tmp_path_factory.mktemp("scipion")
    source, installed, home = folder / "source", folder / "installed", folder / "home"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    installed.mkdir()
    words = ["-c", BUILD, "-q", "build_py", "--build-lib", installed, "egg_info", "--egg-base", installed]
    run_client([python, *words], source)
    (home / "config").mkdir(parents=True)
    template = "import scipion, os; print(os.path.join(os.path.dirname(scipion.__file__), 'templates/hosts.template'))"
    shutil.copy(run_client([python, "-c", template], folder).splitlines()[-1], home / "config" / "hosts.conf")
    return {
        # Scipion starts its protocols by the 'python3' it finds.
        "PATH": f"{python.parent}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(installed),
        "SCIPION_DOMAIN": "pwem",
        "SCIPION_HOME": str(home),
        "SCIPION_USER_DATA": str(home / "user"),
        "EM_ROOT": str(home / "em"),
        "MPLBACKEND": "agg",
        "CRYOSIAM_PROGRAM": str(Path(sys.executable).parent / "cryosiam"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def scipion(environment: dict[str, str], tmp_path: Path) -> Any:
    def run(*words: str, timeout_seconds: float = 300, **variables: str) -> str:
        command = [client_python("scipion"), *words]
        return run_client(command, tmp_path, timeout_seconds, {**environment, **variables})

    return run


@pytest.fixture(scope="session")
def threshold_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_weights(tmp_path_factory.mktemp("weights")))


def test_the_package_does_not_hold_the_plug_in() -> None:
    found = find_packages(str(ROOT), include=["integrations*"])
    assert "integrations.mrc" in found
    assert not [name for name in found if "scipion" in name]


def test_the_plug_in_imports_nothing_of_cryosiam() -> None:
    for path in PLUGIN.rglob("*.py"):
        lines = path.read_text().splitlines()
        words = [line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))]
        assert not {"cryosiam", "torch"} & set(words), path


def test_scipion_finds_the_plug_in(scipion: Any) -> None:
    find = (
        "from pwem import Domain; Domain.getPlugins();"
        "print(sorted(n for n, p in Domain.getProtocols().items() if p._package.__name__ == 'cryosiam_scipion'))"
    )
    names = ", ".join(f"'ProtCryosiam{name}'" for name in ("Classify", "Denoise", "Pick", "Segment", "Train"))
    assert scipion("-c", find).splitlines()[-1] == f"[{names}]"


@pytest.mark.parametrize("tests", ["test_convert_cryosiam", "test_plugin_cryosiam"])
def test_what_the_plug_in_reads_and_says(scipion: Any, tests: str) -> None:
    assert scipion("-m", "unittest", f"{MODULE}.tests.{tests}").rstrip().endswith("OK")


@pytest.mark.slow
@pytest.mark.parametrize("tests", ["TestCryosiam", "TestCryosiamRefusals"])
def test_protocols_run_in_a_project(scipion: Any, tests: str, threshold_weights: str) -> None:
    said = scipion(
        "-m",
        "unittest",
        "-v",
        f"{MODULE}.tests.test_protocols_cryosiam.{tests}",
        timeout_seconds=1800,
        CRYOSIAM_TEST_WEIGHTS=threshold_weights,
        CRYOSIAM_TEST_VOXELS="0.15",
    )
    assert said.rstrip().endswith("OK"), said[-3000:]
