"""A RELION project without copick: picked, and handed back to the same project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .relion_project import BINNING, PIXEL_SIZE_ANGSTROM, SMALL_SHAPE, RelionProject

MakeRelion = Callable[..., RelionProject]


@pytest.fixture
def make_relion(tmp_path: Path, ball_volume: Any) -> MakeRelion:
    def make(runs: tuple[str, ...] = ("TS_01",), shape: tuple[int, int, int] = SMALL_SHAPE) -> RelionProject:
        return RelionProject(tmp_path / "project", ball_volume, runs, shape)

    return make


def particles(path: Path) -> Any:
    return starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName"])["particles"]


def places(table: Any, prefix: str, suffix: str = "") -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.stack([table[f"{prefix}{axis}{suffix}"] for axis in "XYZ"], axis=1)
    return found


def one_sentence(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, text
    assert lines[0].startswith("error: ")
    return lines[0]


def test_picks_and_hands_back(
    make_relion: MakeRelion, weights: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, out = make_relion(("TS_01", "TS.02-b")), tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    result = call("pick", "--relion", project.star, "--out", out, "--weights", weights)
    assert result.returncode == 0, result.stderr
    table = particles(out / "relion5" / "particles.star")
    for run, truth in project.truth.items():
        size = np.array(project.shape[::-1]) * BINNING
        wanted = (truth[:, ::-1] * BINNING - size / 2) * PIXEL_SIZE_ANGSTROM
        found = places(table[table["rlnTomoName"] == run], "rlnCenteredCoordinate", "Angst")
        assert len(found) == len(wanted)
        assert cKDTree(found).query(wanted)[0].max() < 2.0
    assert set(table["rlnTomoName"]) == {"TS_01", "TS.02-b"}
    # Paths are relative to the folder RELION runs in, wherever we run; what lies outside it is named in full.
    chosen = starfile.read(out / "relion5" / "optimisation_set.star")
    assert chosen["rlnTomoTomogramsFile"] == "Tomograms/job006/tomograms.star"
    assert Path(chosen["rlnTomoParticlesFile"]) == out / "relion5" / "particles.star"
    assert {path.name for path in (out / "cryosiam-1").glob("TS_01_*")} == {
        "TS_01_reconstructed-denoised-cryosiam-1.mrc",
        "TS_01_semantic.mrc",
        "TS_01_instances-particle.mrc",
    }
    again = call("pick", "--relion", project.star, "--out", out, "--weights", weights)
    assert "nothing to do" in again.stdout


def test_names_of_digits_stay_as_they_are(make_relion: MakeRelion, weights: Path, call: Any, tmp_path: Path) -> None:
    project, out = make_relion(("001",)), tmp_path / "out"
    result = call("pick", "--relion", project.star, "--out", out, "--weights", weights)
    assert result.returncode == 0, result.stderr
    rows = (out / "relion5" / "particles.star").read_text().splitlines()
    assert [row for row in rows if row.startswith("001  001/1 ")]
    assert "rlnTomoName" in (out / "picks.star").read_text()
    assert {path.name for path in (out / "cryosiam-1").iterdir()} >= {"001_semantic.mrc"}


def test_a_changed_tomograms_star_renews_the_particles(
    make_relion: MakeRelion, weights: Path, call: Any, tmp_path: Path
) -> None:
    project, out = make_relion(), tmp_path / "out"
    assert call("pick", "--relion", project.star, "--out", out, "--weights", weights).returncode == 0
    before = places(particles(out / "relion5" / "particles.star"), "rlnCenteredCoordinate", "Angst")
    wider = int(project.shape[2] * BINNING) + 2
    project.write_star({"rlnTomoReconstructedTomogram": "rec_{run}"}, rlnTomoSizeX=str(wider))
    again = call("pick", "--relion", project.star, "--out", out, "--weights", weights)
    assert "TS_01: up to date" in again.stdout
    after = places(particles(out / "relion5" / "particles.star"), "rlnCenteredCoordinate", "Angst")
    np.testing.assert_allclose(before - after, [[PIXEL_SIZE_ANGSTROM, 0, 0]] * len(before), atol=1e-3)


def test_halves_are_averaged_and_the_denoised_is_taken_when_asked(
    make_relion: MakeRelion, weights: Path, call: Any, tmp_path: Path
) -> None:
    project = make_relion()
    whole = mrcfile.read(project.volume("rec_TS_01"))
    flicker = np.random.default_rng(1).normal(0, 30, whole.shape).astype(np.float32)
    for name, sign in (("half1", 1), ("half2", -1)):
        project.write_volume(f"{name}_TS_01", whole + np.float32(sign) * flicker)
    project.volume("rec_TS_01").rename(project.volume("den_TS_01"))
    halves = {f"rlnTomoReconstructedTomogramHalf{n}": f"half{n}_{{run}}" for n in (1, 2)}
    project.write_star({**halves, "rlnTomoReconstructedTomogramDenoised": "den_{run}"})
    for kind, options in (("halves", ()), ("denoised", ("--tomogram", "denoised"))):
        out = tmp_path / kind
        result = call("classify", "--relion", project.star, "--out", out, "--weights", weights, *options)
        assert result.returncode == 0, result.stderr
        assert len(particles(out / "relion5" / "particles.star")) == len(project.truth["TS_01"])
    refused = call("pick", "--relion", project.star, "--out", tmp_path / "no", "-t", "reconstructed")
    assert "names no reconstructed tomogram of 'TS_01' (it names halves and denoised)" in one_sentence(refused.stderr)


def test_relion4(make_relion: MakeRelion, weights: Path, call: Any, tmp_path: Path) -> None:
    """RELION 4's tomograms.star names no tomograms; they are found beside it, and particles count unbinned pixels."""
    project, out = make_relion(), tmp_path / "out"
    project.write_star(
        {},
        ("rlnTomoTiltSeriesStarFile", "rlnTomoTomogramBinning", "rlnMicrographOriginalPixelSize"),
        rlnTomoTiltSeriesName="stacks/{run}.mrc",
        rlnTomoFrameCount="2",
    )
    tilts = "\ndata_TS_01\n\nloop_\n_rlnTomoProjX #1\n_rlnDefocusU #2\n[1,0,0,0] 20000.0\n[1,0,0,0] 20000.0\n\n"
    project.star.write_text(project.star.read_text() + tilts)
    result = call("pick", "--relion", project.star, "--out", out, "--weights", weights)
    assert result.returncode == 0, result.stderr
    assert not (out / "relion5").exists()
    table = particles(out / "relion4" / "particles.star")
    found = places(table, "rlnCoordinate")
    assert cKDTree(found).query(project.truth["TS_01"][:, ::-1] * BINNING)[0].max() < 1.0


def test_info(make_relion: MakeRelion, call: Any) -> None:
    project = make_relion(("TS_01", "TS_02"))
    project.volume("rec_TS_02").unlink()
    result = call("info", project.star)
    assert result.returncode == 0, result.stderr
    assert "2 runs" in result.stdout
    assert "reconstructed" in result.stdout
    assert "there is no tomogram" in " ".join(result.stdout.split())
    assert f"cryosiam pick --relion {project.star}" in result.stdout.replace("\n", "")


def lost_tomograms(project: RelionProject) -> tuple[str, ...]:
    for path in project.job.glob("tomograms/*.mrc"):
        path.unlink()
    return ("which is in no folder above it", "keep tomograms.star in its RELION project")


def another_voxel_size(project: RelionProject) -> tuple[str, ...]:
    path = project.volume("rec_TS_01")
    with mrcfile.open(path, mode="r+") as file:
        file.voxel_size = 12.0
    return ("states voxels of 12 x 12 x 12 Å", "10 Å for 'TS_01'")


def trimmed(project: RelionProject) -> tuple[str, ...]:
    path = project.volume("rec_TS_01")
    project.write_volume("rec_TS_01", mrcfile.read(path)[2:-4])
    return ("is 640 x 560 x 180 Å large", "not trimmed or turned")


def binning_that_does_not_fit(project: RelionProject) -> tuple[str, ...]:
    project.write_star({"rlnTomoReconstructedTomogram": "rec_{run}"}, rlnTomoTomogramBinning="3.5")
    return ("states voxels of 10 x 10 x 10 Å", "8.75 Å")


def halves_of_two_sizes(project: RelionProject) -> tuple[str, ...]:
    volume = mrcfile.read(project.volume("rec_TS_01"))
    project.write_volume("half1_TS_01", volume)
    project.write_volume("half2_TS_01", volume[1:])
    project.write_star({f"rlnTomoReconstructedTomogramHalf{n}": f"half{n}_{{run}}" for n in (1, 2)})
    return ("differ in size",)


def without_sizes(project: RelionProject) -> tuple[str, ...]:
    project.write_star({"rlnTomoReconstructedTomogram": "rec_{run}"}, without=("rlnTomoSizeX",))
    return ("has no rlnTomoSizeX", "not its tilt_series.star")


def only_denoised(project: RelionProject) -> tuple[str, ...]:
    project.write_star({"rlnTomoReconstructedTomogramDenoised": "rec_{run}"})
    return ("names only a denoised tomogram", "--tomogram denoised")


def relion4_without_tomograms(project: RelionProject) -> tuple[str, ...]:
    project.write_star({}, without=("rlnTomoTiltSeriesStarFile", "rlnTomoTomogramBinning"))
    lost_tomograms(project)
    return ("does not say where tomogram 'TS_01' is", "--mrc")


@pytest.mark.parametrize(
    "harm",
    [
        lost_tomograms,
        another_voxel_size,
        trimmed,
        binning_that_does_not_fit,
        halves_of_two_sizes,
        without_sizes,
        only_denoised,
        relion4_without_tomograms,
    ],
)
def test_what_contradicts_is_refused(
    make_relion: MakeRelion, call: Any, tmp_path: Path, harm: Callable[[RelionProject], tuple[str, ...]]
) -> None:
    project = make_relion()
    words = harm(project)
    result = call("pick", "--relion", project.star, "--out", tmp_path / "out")
    assert result.returncode == 1
    said = one_sentence(result.stderr)
    assert all(word in said for word in words), said
    assert not (tmp_path / "out").exists()


def test_a_results_folder_that_is_a_file(make_relion: MakeRelion, call: Any, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    result = call("pick", "--relion", make_relion().star, "--out", file)
    assert result.returncode == 1
    assert "is a file, not a folder" in one_sentence(result.stderr)
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mrc", "x.mrc"), "give one of --copick"),
        (("--voxel-size", "10"), "--voxel-size is not for --relion"),
        (("--tomograms-star", "other.star"), "--tomograms-star is not for --relion"),
        (("--run", "TS_09"), "has no tomogram 'TS_09'; there are TS_01"),
        (("--tomogram", "wbp"), "none of reconstructed, halves, denoised"),
    ],
)
def test_options_that_do_not_go_together(
    make_relion: MakeRelion, call: Any, options: tuple[str, ...], said: str
) -> None:
    result = call("pick", "--relion", make_relion().star, *options)
    assert result.returncode == 1
    assert said in one_sentence(result.stderr)
