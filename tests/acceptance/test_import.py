"""``cryosiam import``: what was handed over comes back, and what cannot come back is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosiam.integrations.star.dialect import DIALECTS

from .exchange_project import RUNS, TOMOGRAMS, exchange_project, points, read_with_copick, write_picks

KEY = ("--user-id", "back", "--session-id", "1")
POSITION_TOLERANCE_ANGSTROM = 1e-3
ROTATION_TOLERANCE = 1e-4
"""Radians."""

PARTICLES = """
data_particles

loop_
_rlnTomoName #1
_rlnCenteredCoordinateXAngst #2
_rlnCenteredCoordinateYAngst #3
_rlnCenteredCoordinateZAngst #4
_rlnClassNumber #5
TS_01 10.0 -20.0 5.0 1
TS_01 -50.0 20.0 -15.0 2
TS_02 0.0 0.0 0.0 1
"""


@pytest.fixture
def project(make_project: Any) -> Any:
    return exchange_project(make_project)


@pytest.fixture
def star(project: Any) -> Path:
    return Path(project.folder) / "tomograms.star"


@pytest.fixture
def particles(project: Any) -> Path:
    path = Path(project.folder) / "particles.star"
    path.write_text(PARTICLES)
    return path


def import_(call: Any, project: Any, file: Path, *options: object) -> Any:
    return call("import", file, "--copick", project.config, *KEY, *options)


def refuse(call: Any, project: Any, file: Path, *options: object) -> str:
    """Check that import refuses without a trace, and return the sentence."""
    before = project.contents()
    result = import_(call, project, file, *options)
    assert result.returncode == 1, result.stdout
    assert project.contents() == before
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def imported(project: Any, run: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.picks(run, name, user="back")
    return found


def main_files(out: Path, to: str) -> dict[str, Path]:
    """Return the file to import for each species, as ``--to`` named it."""
    if to == "relion31":
        return {"": out / "tomos.star"}
    ending = {"csv": ".csv", "dynamo": ".tbl", "relion5-import": "_list.star"}.get(to, ".star")
    return {name: out / f"{name}{ending}" for name in ("ribosome", "apoferritin")}


@pytest.mark.parametrize("to", DIALECTS)
def test_there_and_back(call: Any, project: Any, star: Path, to: str) -> None:
    """copick to the dialect and back: places, rotations, scores, classes and instances are those that were."""
    out = project.folder / "out"
    given = ("--tomograms-star", star)
    handed = call("export", "-c", project.config, "--picks", "*:cryosiam/1", "--to", to, "--out", out, *given)
    assert handed.returncode == 0, handed.stderr
    for name, file in main_files(out, to).items():
        named = ("--object", name) if to == "dynamo" else ()
        result = import_(call, project, file, *given, *named)
        assert result.returncode == 0, result.stderr
    for run in RUNS:
        for name in ("ribosome", "apoferritin"):
            before = read_with_copick(project, run, name, "cryosiam", "1")
            after = read_with_copick(project, run, name, "back", "1")
            order = np.argsort(after["instance_ids"])
            np.testing.assert_array_equal(after["instance_ids"][order], before["instance_ids"])
            moved = np.abs(after["positions"][order] - before["positions"]).max()
            assert moved < POSITION_TOLERANCE_ANGSTROM
            turned = Rotation.from_matrix(after["rotations"][order]).inv() * Rotation.from_matrix(before["rotations"])
            assert turned.magnitude().max() < ROTATION_TOLERANCE
            np.testing.assert_allclose(after["scores"][order], before["scores"], atol=1e-6)
            assert after["trusted"] == (name == "ribosome")


def test_files_of_one_tomogram_are_one_set(call: Any, project: Any, star: Path) -> None:
    """A list that names two files of a tomogram, taken in as one object, gives one set of all particles."""
    out = project.folder / "out"
    given = ("--tomograms-star", star)
    handed = call("export", "-c", project.config, "--picks", "*:cryosiam/1", "--to", "relion31", "--out", out, *given)
    assert handed.returncode == 0, handed.stderr
    sentence = refuse(call, project, out / "tomos.star", *given, "--object", "virus")
    assert "some have none" in sentence
    for name in RUNS:
        write_picks(project, name, "ribosome", points(7, 1, oriented=False))
    again = (*given, "--overwrite")
    handed = call("export", "-c", project.config, "--picks", "*:cryosiam/1", "--to", "relion31", "--out", out, *again)
    assert handed.returncode == 0, handed.stderr
    result = import_(call, project, out / "tomos.star", *given, "--object", "virus")
    assert result.returncode == 0, result.stderr
    assert "24 particles of 2 runs (24 virus)" in result.stdout
    assert [len(imported(project, run, "virus")) for run in RUNS] == [12, 12]


def test_relion5_refined_particles(call: Any, project: Any, star: Path, particles: Path) -> None:
    """Origins are applied in the frame of the subtomogram, and both rotations are multiplied."""
    angles = {"rlnTomoSubtomogram": (10.0, 50.0, -20.0), "rlnAngle": (35.0, 80.0, 120.0)}
    origin = np.array([3.0, -2.0, 1.5])
    columns = ["rlnTomoName", *(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")]
    columns += [f"{group}{angle}" for group in angles for angle in ("Rot", "Tilt", "Psi")]
    columns += [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
    values = ["TS_01", 10.0, -20.0, 5.0, *(value for group in angles.values() for value in group), *origin]
    heading = "\n".join(f"_{column} #{number}" for number, column in enumerate(columns, start=1))
    particles.write_text(f"data_particles\n\nloop_\n{heading}\n{' '.join(map(str, values))}\n")
    assert import_(call, project, particles, "--tomograms-star", star, "--object", "ribosome").returncode == 0
    found = read_with_copick(project, "TS_01", "ribosome", "back", "1")
    subtomogram, particle = (
        Rotation.from_euler("ZYZ", group, degrees=True).inv().as_matrix() for group in angles.values()
    )
    np.testing.assert_allclose(found["rotations"][0], subtomogram @ particle, atol=1e-6)
    centre = np.array([145, 160, 97]) / 2 * 2.5
    np.testing.assert_allclose(found["positions"][0], centre + np.array([10, -20, 5]) - subtomogram @ origin, atol=1e-4)


def test_an_optimisation_set_brings_its_tomograms_star(call: Any, project: Any, star: Path) -> None:
    (project.folder / "default_pipeline.star").write_text("data_pipeline_general\n\n_rlnPipeLineJobCounter 1\n")
    out = project.folder / "out"
    options = ("--to", "relion5", "--out", out, "--tomograms-star", star)
    call("export", "-c", project.config, "--picks", "ribosome", *options)
    result = import_(call, project, out / "ribosome_optimisation_set.star")
    assert result.returncode == 0, result.stderr
    star.unlink()
    assert "which is not there" in refuse(call, project, out / "ribosome_optimisation_set.star")


def test_classes_become_objects(call: Any, project: Any, star: Path, particles: Path) -> None:
    given = ("--tomograms-star", star)
    assert "--object 1=NAME" in refuse(call, project, particles, *given)
    result = import_(call, project, particles, *given, "--object", "1=ribosome", "--object", "2=junk")
    assert result.returncode == 0, result.stderr
    assert "3 particles of 2 runs (1 junk, 2 ribosome)" in result.stdout
    assert "new objects: junk" in result.stdout
    assert len(imported(project, "TS_01", "junk")) == 1
    names = [entry["name"] for entry in json.loads(project.config.read_text())["pickable_objects"]]
    assert names == ["ribosome", "apoferritin", "junk"]


def test_objects_that_may_not_be_added(call: Any, project: Any, star: Path, particles: Path) -> None:
    given = ("--tomograms-star", star)
    assert "lacks the pickable objects 'junk'" in refuse(
        call, project, particles, *given, "--object", "junk", "--no-add-objects"
    )
    assert "copick cannot store" in refuse(call, project, particles, *given, "--object", "my_virus")
    assert "is no name" in refuse(call, project, particles, *given, "--object", "=virus")
    assert "names both" in refuse(call, project, particles, *given, "--object", "a", "--object", "b")


def test_dry_run_writes_nothing(call: Any, project: Any, star: Path, particles: Path) -> None:
    before = project.contents()
    result = import_(call, project, particles, "--tomograms-star", star, "--object", "virus", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "would write 3 particles of 2 runs (3 virus)" in result.stdout
    assert "new objects: virus" in result.stdout
    assert project.contents() == before


def test_picks_that_are_there_stay(call: Any, project: Any, star: Path, particles: Path) -> None:
    options = ("--tomograms-star", star, "--object", "ribosome")
    path = write_picks(project, "TS_02", "ribosome", points(2, 3), user="back")
    assert "--overwrite" in refuse(call, project, particles, *options)
    assert "--overwrite" in refuse(call, project, particles, *options, "--dry-run")
    assert json.loads(path.read_text())["points"][0]["instance_id"] == 301
    other = write_picks(project, "TS_02", "apoferritin", points(2, 3), user="back")
    kept = other.read_bytes()
    assert import_(call, project, particles, *options, "--overwrite").returncode == 0
    assert len(imported(project, "TS_02", "ribosome")) == 1
    assert other.read_bytes() == kept


def test_unknown_tomograms(call: Any, project: Any, star: Path, particles: Path) -> None:
    particles.write_text(PARTICLES.replace("TS_02", "TS_09"))
    options = ("--tomograms-star", star, "--object", "ribosome")
    assert "TS_09" in refuse(call, project, particles, *options)
    result = import_(call, project, particles, *options, "--skip-unknown")
    assert result.returncode == 0, result.stderr
    assert "TS_09" in result.stderr
    assert "2 particles of 1 run" in result.stdout
    particles.write_text(PARTICLES.replace("TS_0", "x"))
    assert "--name RUN=NAME" in refuse(call, project, particles, *options, "--skip-unknown")


def test_names_that_the_user_gives(call: Any, project: Any, particles: Path) -> None:
    particles.write_text(PARTICLES.replace("TS_01", "001").replace("TS_02", "lamella"))
    facts = ("--tilt-series-pixel-size", 2.5, "--tomogram-size", "145,160,97", "--object", "ribosome")
    result = import_(call, project, particles, *facts, "--name", "TS_01=001", "--name", "TS_02=lamella")
    assert result.returncode == 0, result.stderr
    assert len(imported(project, "TS_01", "ribosome")) == 2


def test_positions_outside(call: Any, project: Any, star: Path, particles: Path) -> None:
    options = ("--tomograms-star", star, "--object", "ribosome")
    particles.write_text(PARTICLES.replace("TS_02 0.0", "TS_02 900.0"))
    result = import_(call, project, particles, *options)
    assert "1 of 3 particles" in result.stderr
    assert "lie outside" in result.stderr
    assert result.returncode == 0


def corner(text: str, factor: float) -> str:
    """Return particles whose coordinates are voxels times ``factor``, for Warp."""
    rows = [f"{run}.tomostar {factor * 30} {factor * 35} {factor * 20}" for run in RUNS]
    heading = "_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4"
    return f"{text}\n\nloop_\n{heading}\n" + "\n".join(rows) + "\n"


def test_coordinates_in_the_wrong_unit(call: Any, project: Any, particles: Path) -> None:
    options = ("--from", "warp", "--object", "ribosome")
    particles.write_text(corner("data_", 1.0))
    assert import_(call, project, particles, *options).returncode == 0
    particles.write_text(corner("data_", 4.0))
    sentence = refuse(call, project, particles, *options, "--overwrite")
    assert "lie outside of their tomogram" in sentence


@pytest.mark.parametrize(("factor", "told"), [(0.1, True), (1.0, False)])
def test_coordinates_in_a_coarser_unit_are_told(
    call: Any, project: Any, star: Path, particles: Path, factor: float, told: bool
) -> None:
    rows = np.random.default_rng(1).uniform(-100, 100, (30, 3)) * factor
    heading = "_rlnTomoName #1\n" + "".join(f"_rlnCenteredCoordinate{a}Angst #{n}\n" for n, a in enumerate("XYZ", 2))
    lines = "".join(f"TS_01 {x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in rows)
    particles.write_text(f"data_particles\n\nloop_\n{heading}{lines}")
    result = import_(call, project, particles, "--tomograms-star", star, "--object", "ribosome")
    assert result.returncode == 0, result.stderr
    assert ("coarser unit" in result.stderr) is told


def test_a_file_that_names_no_tomogram(call: Any, project: Any, particles: Path) -> None:
    """TomoTwin writes coordinates and nothing else."""
    particles.write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n10 20.5 12\n")
    assert "--run" in refuse(call, project, particles, "--object", "ribosome")
    result = import_(call, project, particles, "--object", "ribosome", "--run", "TS_02")
    assert result.returncode == 0, result.stderr
    (point,) = imported(project, "TS_02", "ribosome")
    assert point["location"] == {"x": 100.0, "y": 205.0, "z": 120.0}


def change(old: str, new: str) -> str:
    assert old in PARTICLES
    return PARTICLES.replace(old, new)


OPTICS = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n1 2.5\n\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (change("_rlnClassNumber", "_rlnTomoName"), "second time"),
        (PARTICLES[: PARTICLES.index("TS_01")], "no particles"),
        (OPTICS, "columns of places"),
        (change("_rlnTomoName", "_rlnName"), "has no rlnTomoName"),
        ("nothing of the kind", "not a STAR file"),
        (change("-20.0", "far"), "is not a number"),
        (change("-20.0", "nan"), "is not a number"),
        (PARTICLES[:-12], "in the middle of a row"),
        (change("TS_01 10.0 -20.0", "TS 01 10.0 -20.0"), "has 6 cells"),
    ],
)
def test_files_that_cannot_be_taken(
    call: Any, project: Any, star: Path, particles: Path, text: str, words: str
) -> None:
    particles.write_text(text)
    assert words in refuse(call, project, particles, "--tomograms-star", star, "--object", "ribosome")


@pytest.mark.parametrize(
    "text", [PARTICLES.replace("\n", "\r\n"), OPTICS + PARTICLES, PARTICLES.replace("data_particles", "data_")]
)
def test_files_that_are_odd_but_whole(call: Any, project: Any, star: Path, particles: Path, text: str) -> None:
    particles.write_bytes(text.encode())
    result = import_(call, project, particles, "--tomograms-star", star, "--object", "ribosome")
    assert result.returncode == 0, result.stderr
    found = [point["location"]["x"] for point in imported(project, "TS_01", "ribosome")]
    np.testing.assert_allclose(found, [145 / 2 * 2.5 + 10, 145 / 2 * 2.5 - 50])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--tomogram"),
        (("--tomograms-star", "absent.star"), "there is no file absent.star"),
        (("--name", "TS_01=TS_07", "--tilt-series-pixel-size", "2.5"), "there is no 'TS_07'"),
        (("--name", "TS_07=TS_01", "--tilt-series-pixel-size", "2.5"), "has no run 'TS_07'"),
        (("--run", "TS_07"), "there is no run 'TS_07'"),
        (("--user-id", "my_name"), "copick cannot store"),
    ],
)
def test_options_that_cannot_be_used(
    call: Any, project: Any, particles: Path, options: Sequence[str], words: str
) -> None:
    assert words in refuse(call, project, particles, *options, "--object", "ribosome")


def test_files_that_are_not_there(call: Any, project: Any, star: Path) -> None:
    assert "there is no file" in refuse(call, project, project.folder / "absent.star", "--tomograms-star", star)


def test_a_tomograms_star_that_lists_other_names(call: Any, project: Any, star: Path, particles: Path) -> None:
    star.write_text(TOMOGRAMS.replace("TS_0", "Position_"))
    sentence = refuse(call, project, particles, "--tomograms-star", star, "--object", "ribosome")
    assert "TS_01, TS_02" in sentence


def test_a_full_disk_leaves_nothing(
    call: Any, project: Any, star: Path, particles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two files cannot be written: the first is not there either, nor is the new object."""
    written: list[Path] = []
    write_text = Path.write_text

    def full(path: Path, *arguments: Any, **options: Any) -> int:
        if path.suffix == ".part" and "Picks" in path.parts:
            written.append(path)
            if len(written) > 1:
                raise OSError(28, "No space left on device", str(path))
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    before = {name: content for name, content in project.contents().items() if content != b"folder"}
    result = import_(call, project, particles, "--tomograms-star", star, "--object", "virus")
    assert result.returncode == 1
    assert "the disk is full" in result.stderr
    assert len(written) == 2
    after = {name: content for name, content in project.contents().items() if content != b"folder"}
    assert {name for name in after if not name.endswith((".lock", ".meta"))} == set(before)
    assert all(after[name] == content for name, content in before.items())
