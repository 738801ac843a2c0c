"""The tutorial works as it is written: every command, in its order; RELION's own where RELION 5 is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, gaussian_filter

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "relion5.md"
MAKE_DATA = "cryosiam simulate demo --out tutorial --runs 2 --seed 9101"
SMALL = "cryosiam simulate demo --out tutorial --runs 1 --seed 9101 --shape 96 128 144"
RELION_5 = "relion_tomo_subtomo"
CROP = 32


def commands() -> list[str]:
    """Return every line of the tutorial's shell blocks."""
    blocks: list[str] = re.findall(r"```bash\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def script(with_relion: bool) -> str:
    """Return the tutorial as a shell script, on less data than it has."""
    lines = [SMALL if line == MAKE_DATA else line for line in commands()]
    return "\n".join(line for line in lines if with_relion or not line.startswith("relion_"))


@pytest.fixture(scope="module")
def relion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Follow the tutorial and return the folder of its RELION project."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        ["bash", "-exc", script(shutil.which(RELION_5) is not None)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return folder / "tutorial" / "relion"


def mean_box(folder: Path) -> NDArray[np.float64]:
    """Return the mean of all boxes in all tilts, in which noise is gone."""
    stacks = [mrcfile.read(path) for path in sorted(folder.rglob("*_stack2d.mrcs"))]
    assert len(stacks) > 10
    mean: NDArray[np.float64] = np.mean([stack.mean(axis=0, dtype=np.float64) for stack in stacks], axis=0)
    return mean


def test_data_are_made_by_the_first_command() -> None:
    assert commands()[0] == MAKE_DATA
    assert [line for line in commands() if line.startswith(RELION_5)]


@pytest.mark.slow
def test_particles_lie_in_the_middle_of_their_boxes(relion_folder: Path) -> None:
    box = gaussian_filter(mean_box(relion_folder / "Extract" / "zarr"), 1.0)
    box -= np.median(box)
    middle = center_of_mass(np.where(box > box.max() / 2, box, 0.0))
    # Picks of a network, not of truth: each scatters by about a voxel, their mean by much less.
    np.testing.assert_allclose(middle, CROP // 2, atol=0.5)


@pytest.mark.slow
def test_the_ready_job_and_the_optimisation_set(relion_folder: Path) -> None:
    chosen = starfile.read(relion_folder / "Picks" / "cryosiam" / "cage_optimisation_set.star")
    assert all((relion_folder / path).is_file() for path in chosen.values())
    assert "cryosiam relion-job" in (relion_folder / "job.star").read_text()


@pytest.mark.slow
def test_relion_makes_the_initial_model(relion_folder: Path) -> None:
    if shutil.which(RELION_5) is None:
        pytest.skip(f"{RELION_5} is not on the PATH: the commands of RELION 5 in the tutorial were left out")
    model = mrcfile.read(relion_folder / "InitialModel" / "job003" / "initial_model.mrc")
    assert model.shape == (CROP, CROP, CROP)
    assert model.std() > 0
