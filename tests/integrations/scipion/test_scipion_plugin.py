"""The plug-in for Scipion, built and run by the real pyworkflow, scipion-em and scipion-em-tomo, without a screen.

Its own tests are unittest's, as Scipion wants them. The protocols among them run the installed ``cryosiam``, by weights
that are a threshold: the balls in their tomograms are found where they are, to a fraction of a voxel.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from setuptools import find_packages

from cryosiam.domain import Picks
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, write_particles
from cryosiam.integrations.star.frame import TomogramFrame

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


READ_BY_RELIONTOMO = """
import json, sys
from pwem import Domain
Domain.getPlugins()
from emtable import Table
from reliontomo.convert import convertBase
table = Table(fileName=sys.argv[1])
assert "rlnTomoParticleId" in table.getColumnNames()
print(json.dumps([convertBase.getTransformMatrixFromRow(row).tolist() for row in table]))
"""


def test_relions_plug_in_reads_the_orientations_that_export_writes(scipion: Any, tmp_path: Path) -> None:
    """Files with rlnTomoParticleId go to reliontomo's reader of RELION 4, which takes the pose from rlnAngle* alone."""
    rotations = Rotation.random(6, random_state=3).as_matrix()
    places = np.full((6, 3), 100.0)
    picks = Picks("TS_01", places, np.ones(6), ("a",) * 6, np.arange(1, 7), rotations)
    frame = TomogramFrame("TS_01", "TS_01", 10.0, (64, 60, 32), 2.5, (256, 240, 128))
    (path,) = write_particles(tmp_path / "out", load_dialect("scipion"), [FramedPicks(frame, picks)]).paths
    relion = tmp_path / "relion-4.0"
    relion.mkdir()
    home = {
        "RELION_HOME": str(relion),
        "RELIONTOMO_HOME": str(relion),
        "RELION_ENV_ACTIVATION": "conda activate relion-4.0",
    }
    said = scipion("-c", READ_BY_RELIONTOMO, str(path), **home)
    read = np.array(json.loads(said.splitlines()[-1]))[:, :3, :3]
    np.testing.assert_allclose(np.linalg.inv(read), rotations, atol=1e-4)


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
