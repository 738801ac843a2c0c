"""``cryosiam export``: files that other programs take, the command to go on with, and refusals of one sentence."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile

from cryosiam.cli.exchange_options import DialectChoice
from cryosiam.integrations.star.dialect import DIALECTS

from .exchange_project import (
    PIXEL_SIZE_ANGSTROM,
    RUNS,
    SHAPE,
    TOMOGRAMS,
    UNBINNED_XYZ,
    exchange_project,
    points,
    write_picks,
)

ALL = ("--picks", "ribosome:cryosiam/*", "--picks", "apoferritin")


@pytest.fixture
def project(make_project: Any) -> Any:
    return exchange_project(make_project)


@pytest.fixture
def star(project: Any) -> Path:
    return Path(project.folder) / "tomograms.star"


def export(call: Any, project: Any, to: str, *options: object, out: str = "out") -> Any:
    """Run export into a folder of the project."""
    return call("export", "--copick", project.config, "--to", to, "--out", project.folder / out, *options)


def refuse(call: Any, project: Any, to: str, *options: object) -> str:
    """Check that export refuses without a trace, and return the sentence."""
    before = project.contents()
    result = export(call, project, to, *options)
    assert result.returncode == 1, result.stdout
    assert project.contents() == before
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def table(path: Path, block: str = "particles") -> Any:
    text = ["rlnTomoName", "rlnMicrographName", "cryosiamClassName"]
    return starfile.read(path, always_dict=True, parse_as_string=text)[block]


def truth(project: Any, run: str, name: str) -> Any:
    """Return the places of the picks in Å, shifts added, as the file has them."""
    found = project.picks(run, name)
    places = np.array([[point["location"][axis] for axis in "xyz"] for point in found])
    return places + np.array([point["transformation_"] for point in found])[:, :3, 3]


def test_the_choices_are_the_dialects() -> None:
    assert tuple(choice.value for choice in DialectChoice) == DIALECTS


def test_relion5_with_tomograms_star(call: Any, project: Any, star: Path) -> None:
    result = export(call, project, "relion5", *ALL, "--tomograms-star", star)
    assert result.returncode == 0, result.stderr
    out = project.folder / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "apoferritin.star",
        "apoferritin_optimisation_set.star",
        "ribosome.star",
        "ribosome_optimisation_set.star",
    ]
    for name in ("apoferritin.star", "ribosome.star"):
        assert str(out / name) in result.stdout
    assert "24 particles of 2 runs (10 apoferritin, 14 ribosome)" in result.stdout
    ribosomes = table(out / "ribosome.star")
    assert list(ribosomes["rlnTomoName"]) == ["TS_01"] * 7 + ["TS_02"] * 7
    assert set(ribosomes["cryosiamClassName"]) == {"ribosome"}
    assert "rlnAngleRot" in ribosomes
    assert "rlnAngleRot" not in table(out / "apoferritin.star")
    columns = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    places = np.concatenate([truth(project, run, "ribosome") for run in RUNS])
    expected = places - np.array(UNBINNED_XYZ) / 2 * PIXEL_SIZE_ANGSTROM
    np.testing.assert_allclose(ribosomes[columns].to_numpy(), expected, atol=1e-3)


def test_the_optimisation_set_names_the_users_tomograms_star(call: Any, project: Any, star: Path) -> None:
    (project.folder / "default_pipeline.star").write_text("data_pipeline_general\n\n_rlnPipeLineJobCounter 1\n")
    export(call, project, "relion5", *ALL, "--tomograms-star", star)
    text = (project.folder / "out" / "ribosome_optimisation_set.star").read_text()
    assert re.search(r"_rlnTomoParticlesFile\s+out/ribosome.star\s", text)
    assert re.search(r"_rlnTomoTomogramsFile\s+tomograms.star\s", text)


@pytest.mark.parametrize("to", DIALECTS)
def test_the_next_command_names_files_that_are_there(call: Any, project: Any, star: Path, to: str) -> None:
    result = export(call, project, to, *ALL, "--tomograms-star", star)
    assert result.returncode == 0, result.stderr
    words = shlex.split(result.stdout[result.stdout.index("next") :].replace("'", ""))
    named = [Path(word) for word in words if word.startswith(str(project.folder))]
    assert named
    assert all(path.exists() for path in named)


def test_warps_command_has_the_voxel_size(call: Any, project: Any) -> None:
    result = export(call, project, "warp", "--picks", "ribosome")
    assert "WarpTools ts_export_particles" in result.stdout
    assert "--coords_angpix 10 " in result.stdout
    assert "--diameter 120 " in result.stdout
    particles = table(project.folder / "out" / "ribosome.star", "")
    assert particles["rlnMicrographName"][0] == "TS_01.tomostar"
    first = particles[[f"rlnCoordinate{axis}" for axis in "XYZ"]].to_numpy()[:7]
    np.testing.assert_allclose(first, truth(project, "TS_01", "ribosome") / 10, atol=1e-4)


def test_one_file_runs_and_threshold(call: Any, project: Any, star: Path) -> None:
    options = ("--one-file", "--threshold", "0.5", "-r", "TS_02", "--tomograms-star", star)
    result = export(call, project, "relion5", *ALL, *options)
    assert result.returncode == 0, result.stderr
    particles = table(project.folder / "out" / "particles.star")
    assert set(particles["rlnTomoName"]) == {"TS_02"}
    assert particles["rlnAutopickFigureOfMerit"].min() >= 0.5
    scores = [point["score"] for name in ("ribosome", "apoferritin") for point in project.picks("TS_02", name)]
    assert len(particles) == sum(score >= 0.5 for score in scores)


def test_dry_run_writes_nothing(call: Any, project: Any, star: Path) -> None:
    before = project.contents()
    result = export(call, project, "relion5", *ALL, "--tomograms-star", star, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "would write 24 particles of 2 runs" in result.stdout
    assert str(project.folder / "out" / "ribosome.star") in result.stdout
    assert project.contents() == before


def test_files_are_replaced_only_when_asked(call: Any, project: Any) -> None:
    assert export(call, project, "warp", "--picks", "ribosome").returncode == 0
    assert "--overwrite" in refuse(call, project, "warp", "--picks", "ribosome", "-r", "TS_01")
    assert export(call, project, "warp", "--picks", "ribosome", "--overwrite").returncode == 0


def test_names_are_matched_and_told(call: Any, project: Any, star: Path) -> None:
    star.write_text(TOMOGRAMS.replace("TS_01 300", "TS_01.tomostar 300").replace("TS_02 300", "lamella 300"))
    result = export(call, project, "relion5", *ALL, "--tomograms-star", star, "--name", "TS_02=lamella")
    assert result.returncode == 0, result.stderr
    assert "TS_01 is TS_01.tomostar (by its name without what programs add)" in result.stderr
    assert set(table(project.folder / "out" / "ribosome.star")["rlnTomoName"]) == {"TS_01.tomostar", "lamella"}


def test_binned_by_averaging_moves_positions(call: Any, project: Any, star: Path) -> None:
    export(call, project, "relion5", "--picks", "ribosome", "--tomograms-star", star)
    export(
        call, project, "relion5", "--picks", "ribosome", "--tomograms-star", star, "--binned-by-averaging", 4, out="b4"
    )
    columns = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    one, four = (table(project.folder / out / "ribosome.star")[columns].to_numpy() for out in ("out", "b4"))
    np.testing.assert_allclose(four - one, 1.5 * PIXEL_SIZE_ANGSTROM, atol=1e-3)


def test_picks_by_two_sessions_are_told(call: Any, project: Any) -> None:
    write_picks(project, "TS_01", "ribosome", points(2, 5), session="2")
    result = export(call, project, "warp", "--picks", "ribosome")
    assert "'ribosome' comes from 2 sets (cryosiam/1, cryosiam/2)" in result.stderr
    assert "16 particles" in result.stdout


def test_a_project_without_volumes_is_enough_for_relion5(call: Any, project: Any, star: Path) -> None:
    for run in RUNS:
        folder = project.folder / "overlay" / "ExperimentRuns" / run / "VoxelSpacing10.000" / "wbp.zarr"
        (folder / ".zarray").unlink(missing_ok=True)
        folder.rename(folder.with_name("hidden"))
    result = export(call, project, "relion5", "--picks", "ribosome", "--tomograms-star", star)
    assert result.returncode == 0, result.stderr
    assert "sizes were not compared" in result.stderr
    assert "give --voxel-size" in refuse(call, project, "warp", "--picks", "ribosome")
    assert export(call, project, "warp", "--picks", "ribosome", "--voxel-size", 10, out="w").returncode == 0


def test_identity_matrices_are_no_orientations(call: Any, project: Any) -> None:
    result = export(call, project, "warp", "--picks", "apoferritin")
    assert result.returncode == 0
    assert "rlnAngleRot" not in table(project.folder / "out" / "apoferritin.star", "")


def test_relion31_needs_optics(call: Any, project: Any) -> None:
    ribosomes = ("--picks", "ribosome")
    assert "--optics" in refuse(call, project, "relion31", *ribosomes, "--tilt-series-pixel-size", 2.5)
    assert "--tilt-series-pixel-size" in refuse(call, project, "relion31", *ribosomes, "--optics", "300,2.7,0.1")
    options = ("--tilt-series-pixel-size", 2.5, "--optics", "300,2.7,0.1", "--tomogram-files", "tomos/{name}.mrc")
    assert export(call, project, "relion31", "--picks", "ribosome", *options).returncode == 0
    assert list(table(project.folder / "out" / "tomos.star", "micrographs")["rlnMicrographName"]) == [
        "tomos/TS_01.mrc",
        "tomos/TS_02.mrc",
    ]


def test_files_of_tomograms_that_the_user_names(call: Any, project: Any, star: Path) -> None:
    """They come before those of tomograms.star, and each tomogram has its own."""
    options = ("--picks", "ribosome", "--tomograms-star", star, "--tomogram-files")
    assert "have the same file all.mrc" in refuse(call, project, "relion31", *options, "all.mrc")
    result = export(call, project, "relion31", *options, "mrc/{name}.mrc")
    assert result.returncode == 0, result.stderr
    assert list(table(project.folder / "out" / "tomos.star", "micrographs")["rlnMicrographName"]) == [
        f"mrc/{run}.mrc" for run in RUNS
    ]


def test_names_that_read_as_numbers_stay_as_they_are(call: Any, project: Any, star: Path) -> None:
    """RELION keeps 001; programs that guess types make 1 of it, which is told."""
    runs = project.folder / "overlay" / "ExperimentRuns"
    (runs / "TS_01").rename(runs / "001")
    (runs / "TS_02").rename(runs / "002")
    star.write_text(TOMOGRAMS.replace("TS_0", "00"))
    result = export(call, project, "relion5", "--picks", "ribosome", "--tomograms-star", star)
    assert result.returncode == 0, result.stderr
    assert "'001' is written as it is" in result.stderr
    assert set(table(project.folder / "out" / "ribosome.star")["rlnTomoName"]) == {"001", "002"}
    back = ("--tomograms-star", star, "--user-id", "back", "--session-id", "1")
    assert call("import", project.folder / "out" / "ribosome.star", "-c", project.config, *back).returncode == 0
    assert len(project.picks("001", "ribosome", user="back")) == 7


def test_without_a_tomograms_star_the_size_is_told(call: Any, project: Any) -> None:
    options = ("--tilt-series-pixel-size", 2.5, "--tomogram-size", "145,160,97")
    result = export(call, project, "relion5", "--picks", "ribosome", *options)
    assert "rlnTomoSizeX, Y, Z must be 145, 160, 97" in result.stdout
    assert not (project.folder / "out" / "ribosome_optimisation_set.star").exists()


# What cannot be handed over


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--picks", "nothing:x/1"), "there are no picks 'nothing:x/1'"),
        (("--picks", "a:b:c"), "is no name of picks"),
        (("--picks", "re:("), "is no name of picks"),
        (("--picks", "ribosome", "--threshold", "2"), "lower --threshold"),
        (("--picks", "ribosome", "-r", "TS_09"), "there is no run 'TS_09'"),
        (("--picks", "ribosome", "-t", "sirt"), "has no tomogram 'sirt'"),
        (("--picks", "ribosome", "--tilt-series-pixel-size", "0"), "must be above zero"),
        (("--picks", "ribosome", "--tomogram-size", "10,10"), "is not three numbers"),
        (("--picks", "ribosome", "--name", "TS_01"), "is not a pair"),
        (("--picks", "ribosome", "--optics", "300"), "is not three numbers"),
        (("--picks", "ribosome", "--tilt-series-pixel-size", "2.5", "--tomogram-size", "160,145,97"), "not trimmed"),
        (("--picks", "ribosome", "--voxel-size", "9"), "--voxel-size says 9"),
        (("--picks", "ribosome", "--tomograms-star", "absent.star"), "there is no file absent.star"),
    ],
)
def test_options_that_cannot_be_used(call: Any, project: Any, options: tuple[str, ...], words: str) -> None:
    assert words in refuse(call, project, "warp", *options)


@pytest.mark.parametrize("to", ["relion5", "relion5-import"])
def test_what_is_unknown_is_asked_for(call: Any, project: Any, to: str) -> None:
    assert "--tilt-series-pixel-size" in refuse(call, project, to, "--picks", "ribosome")
    sentence = refuse(call, project, to, "--picks", "ribosome", "--tilt-series-pixel-size", 2.5)
    assert "--tomograms-star" in sentence
    assert "--tomogram-size" in sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("TS_0", "Position_"), "run 'TS_01' is not in"),
        (lambda text: text.replace("_rlnTomoSizeZ #9", "_rlnOther #9"), "has no rlnTomoSizeZ"),
        (lambda text: text.replace("145 160 97", "640 512 97"), "not trimmed or rotated"),
        (lambda text: text.replace("_rlnTomoSizeY", "_rlnTomoSizeX"), "second time"),
        (lambda text: text[:-50], "in the middle of a row"),
    ],
)
def test_tomograms_star_that_does_not_fit(call: Any, project: Any, star: Path, change: Any, words: str) -> None:
    star.write_text(change(TOMOGRAMS))
    assert words in refuse(call, project, "relion5", "--picks", "ribosome", "--tomograms-star", star)


def test_tomograms_star_with_windows_line_ends(call: Any, project: Any, star: Path) -> None:
    star.write_bytes(TOMOGRAMS.replace("\n", "\r\n").encode())
    assert export(call, project, "relion5", "--picks", "ribosome", "--tomograms-star", star).returncode == 0


def damaged(**changes: Any) -> list[dict[str, Any]]:
    return [{**points(1, 3)[0], **changes}]


@pytest.mark.parametrize(
    ("found", "changes", "words"),
    [
        (damaged(location={"x": 1.0, "y": 2.0}), {}, "are damaged"),
        (damaged(location={"x": float("nan"), "y": 2.0, "z": 3.0}), {}, "not a finite number"),
        (damaged(score=float("inf")), {}, "not a finite number"),
        (damaged(transformation_=[[1, 0, 0, 0]] * 4), {}, "is not a rotation"),
        (damaged(transformation_=np.diag([-1.0, 1, 1, 1]).tolist()), {}, "is not a rotation"),
        (damaged(transformation_=[[1, 0], [0, 1]]), {}, "are damaged"),
        (damaged(), {"unit": "nm"}, "not angstrom"),
        (damaged(), {"points": 3}, "are damaged"),
        ([], {}, "are empty"),
    ],
)
def test_damaged_picks(call: Any, project: Any, found: Any, changes: dict[str, Any], words: str) -> None:
    write_picks(project, "TS_01", "virus", found, **changes)
    assert words in refuse(call, project, "warp", "--picks", "virus")


def test_picks_cut_off(call: Any, project: Any) -> None:
    path = write_picks(project, "TS_01", "virus", points(3, 3))
    path.write_text(path.read_text()[:-40])
    assert "are damaged" in refuse(call, project, "warp", "--picks", "virus")


def test_tomograms_of_several_sizes(call: Any, project: Any) -> None:
    project.add_tomogram("TS_01", np.zeros((12, 20, 18), np.float32), spacing=20.0)
    assert "choose one, such as -t" in refuse(call, project, "warp", "--picks", "ribosome")
    project.add_tomogram("TS_02", np.zeros(SHAPE, np.float32), kind="denoised")
    assert export(call, project, "warp", "--picks", "ribosome", "-t", "@10.0").returncode == 0


def test_picks_that_name_their_tomogram(call: Any, project: Any) -> None:
    project.add_tomogram("TS_01", np.zeros((12, 20, 18), np.float32), spacing=20.0)
    write_picks(project, "TS_01", "virus", points(2, 3), cryosiam={"tomogram": "wbp@20"})
    assert export(call, project, "warp", "--picks", "virus").returncode == 0
    particles = table(project.folder / "out" / "virus.star", "")
    np.testing.assert_allclose(particles["rlnCoordinateX"], truth(project, "TS_01", "virus")[:, 0] / 20, atol=1e-4)


def test_voxel_sizes_that_warp_cannot_take_together(call: Any, project: Any) -> None:
    spacing = project.folder / "overlay" / "ExperimentRuns" / "TS_02" / "VoxelSpacing10.000"
    attributes = spacing / "wbp.zarr" / ".zattrs"
    content = json.loads(attributes.read_text())
    content["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = [20.0] * 3
    attributes.write_text(json.dumps(content))
    spacing.rename(spacing.with_name("VoxelSpacing20.000"))
    sentence = refuse(call, project, "warp", "--picks", "ribosome")
    assert "10 Å" in sentence
    assert "20 Å" in sentence


def test_a_folder_that_is_a_file(call: Any, project: Any) -> None:
    (project.folder / "out").write_text("here already")
    assert "cannot be written" in refuse(call, project, "warp", "--picks", "ribosome")


def test_help_has_examples(cryosiam: Any) -> None:
    for command in ("export", "import"):
        result = cryosiam(command, "--help")
        assert result.returncode == 0
        assert f"cryosiam {command} " in result.stdout[result.stdout.index("Examples") :]
