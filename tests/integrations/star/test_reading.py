"""Particles of any program become picks at the right places, or are refused with what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cryosiam.errors import InputError
from cryosiam.geometry import rotations_from_relion_euler
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.frame import TomogramFrame
from cryosiam.integrations.star.reading import Read, read_particles

FRAME = TomogramFrame("run1", "TS_01", 10.0, (100, 90, 50), 2.5, (400, 360, 200))


def star(folder: Path, columns: str, *rows: str, optics: tuple[str, ...] = (), name: str = "particles") -> Path:
    """Write a STAR file; ``optics`` is its columns and then its rows."""
    blocks = [("optics", optics[0], optics[1:])] if optics else []
    text = ""
    for block, labels, lines in [*blocks, (name, columns, rows)]:
        heads = "\n".join(f"_rln{label}" for label in labels.split())
        text += f"data_{block}\n\nloop_\n{heads}\n" + "\n".join(lines) + "\n\n"
    path = folder / "file.star"
    path.write_text(text)
    return path


def positions(read: Read) -> list[list[float]]:
    return [row for entry in read.sets for row in np.round(entry.picks.positions_angstrom, 4).tolist()]


CORNER = "TomoName CoordinateX CoordinateY CoordinateZ"
MICROGRAPH = "MicrographName CoordinateX CoordinateY CoordinateZ"


@pytest.mark.parametrize(
    ("columns", "row", "optics", "expected"),
    [
        (
            "TomoName CenteredCoordinateXAngst CenteredCoordinateYAngst CenteredCoordinateZAngst",
            "TS_01 -500 0 10",
            (),
            [0, 450, 260],
        ),
        # Both: RELION 5 takes the centred ones.
        (
            f"{CORNER} CenteredCoordinateXAngst CenteredCoordinateYAngst CenteredCoordinateZAngst",
            "TS_01 1 2 3 -500 0 10",
            (),
            [0, 450, 260],
        ),
        (CORNER, "TS_01 40 80 100", (), [100, 200, 250]),
        (f"{CORNER} TomoTiltSeriesPixelSize", "TS_01 40 80 100 2.5", (), [100, 200, 250]),
        (MICROGRAPH, "TS_01.tomostar 10 20 25", (), [100, 200, 250]),
        (CORNER, "TS_01.tomostar 10 20 25", (), [100, 200, 250]),
        (MICROGRAPH, "Tomograms/job007/tomograms/rec_TS_01.mrc 10 20 25", (), [100, 200, 250]),
        (f"{MICROGRAPH} PixelSize", "TS_01_5.00Apx.mrc 20 40 50 5", (), [100, 200, 250]),
        (f"{MICROGRAPH} Magnification DetectorPixelSize", "TS_01.mrc 20 40 50 10000 5", (), [100, 200, 250]),
        (
            f"{MICROGRAPH} OpticsGroup",
            "TS_01.mrc 20 40 50 7",
            ("OpticsGroup ImagePixelSize", "3 1.0", "7 5.0"),
            [100, 200, 250],
        ),
        # The images were made smaller than the tomogram.
        (
            f"{MICROGRAPH} OpticsGroup",
            "TS_01.mrc 20 40 50 1",
            ("OpticsGroup MicrographPixelSize ImagePixelSize", "1 5.0 10.0"),
            [100, 200, 250],
        ),
        # Warp writes RELION's columns in pixels of the images.
        (
            f"{CORNER} TomoParticleId OpticsGroup",
            "TS_01.tomostar 20 40 50 1 1",
            ("OpticsGroup TomoTiltSeriesPixelSize ImagePixelSize", "1 2.5 5.0"),
            [100, 200, 250],
        ),
        # Warp's template matching writes shares of the size.
        (MICROGRAPH, "TS_01.tomostar 0.1 0.5 0.5", (), [100, 450, 250]),
        ("CoordinateX CoordinateY CoordinateZ", "10 20 25", (), [100, 200, 250]),
    ],
)
def test_places(tmp_path: Path, columns: str, row: str, optics: tuple[str, ...], expected: Sequence[float]) -> None:
    read = read_particles(star(tmp_path, columns, row, optics=optics), [FRAME])
    assert positions(read) == [expected]
    assert read.sets[0].picks.run == "run1"


def test_every_optics_group_has_its_own_pixel_size(tmp_path: Path) -> None:
    path = star(
        tmp_path,
        f"{CORNER} OpticsGroup OriginX OriginY OriginZ",
        "TS_01 40 80 100 2 4 0 0",
        "TS_01 40 80 100 1 4 0 0",
        "TS_01 20 40 50 2 0 0 0",
        optics=("OpticsGroup TomoTiltSeriesPixelSize", "1 2.5", "2 5.0"),
    )
    read = read_particles(path, [FRAME])
    assert positions(read) == [[180, 400, 500], [90, 200, 250], [100, 200, 250]]
    assert "states a pixel size of 5 Å where tomogram 'TS_01' has 2.5 Å" in read.notes[0]


def test_origins_are_taken_away(tmp_path: Path) -> None:
    path = star(tmp_path, f"{MICROGRAPH} OriginXAngst OriginYAngst OriginZAngst", "TS_01.mrc 10 20 25 1 -2 3")
    assert positions(read_particles(path, [FRAME])) == [[99, 202, 247]]
    # RELION 3.0 counts them in pixels.
    path = star(tmp_path, f"{MICROGRAPH} OriginX OriginY PixelSize", "TS_01.mrc 20 40 50 1 -2 5")
    assert positions(read_particles(path, [FRAME])) == [[95, 210, 250]]


def test_origins_in_pixels_beside_centred_coordinates(tmp_path: Path) -> None:
    centred = "CenteredCoordinateXAngst CenteredCoordinateYAngst CenteredCoordinateZAngst"
    path = star(tmp_path, f"TomoName {centred} OriginX", "TS_01 -500 0 10 2")
    assert positions(read_particles(path, [FRAME])) == [[-5, 450, 260]]


def test_an_empty_table_of_optics_says_nothing(tmp_path: Path) -> None:
    """RELION 5 then takes the optics of its tomograms.star."""
    path = star(tmp_path, f"{CORNER} OpticsGroup", "TS_01 40 80 100 1", optics=("OpticsGroup TomoTiltSeriesPixelSize",))
    assert positions(read_particles(path, [FRAME])) == [[100, 200, 250]]


def test_rotations_of_subtomogram_and_particle(tmp_path: Path) -> None:
    """RELION 4 and 5: M = S P, position = coordinate - S origin."""
    subtomogram = rotations_from_relion_euler([[30, 50, 70]])[0]
    particle = rotations_from_relion_euler([[-10, 90, 5]])[0]
    angles = "TomoSubtomogramRot TomoSubtomogramTilt TomoSubtomogramPsi AngleRot AngleTilt AnglePsi"
    path = star(
        tmp_path,
        f"{CORNER} {angles} OriginXAngst OriginYAngst OriginZAngst",
        "TS_01 40 80 100 30 50 70 -10 90 5 7 8 9",
    )
    (entry,) = read_particles(path, [FRAME]).sets
    assert entry.picks.rotations is not None
    np.testing.assert_allclose(entry.picks.rotations[0], subtomogram @ particle, atol=1e-9)
    moved = np.array([100, 200, 250]) - subtomogram @ [7, 8, 9]
    np.testing.assert_allclose(entry.picks.positions_angstrom[0], moved, atol=1e-9)


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        ("AngleRot AngleTilt AnglePsi", "10 20 30", [10, 20, 30]),
        ("AngleTilt", "20", [0, 20, 0]),
        ("AngleRot AngleTilt AnglePsi", "0 0 0", [0, 0, 0]),
        ("TomoSubtomogramRot TomoSubtomogramTilt TomoSubtomogramPsi", "10 20 30", [10, 20, 30]),
        ("AngleTiltPrior AnglePsiPrior", "90 0", None),
    ],
)
def test_absent_angles_are_zero_and_no_angles_unknown(
    tmp_path: Path, columns: str, values: str, expected: list[float] | None
) -> None:
    (entry,) = read_particles(star(tmp_path, f"{CORNER} {columns}", f"TS_01 40 80 100 {values}"), [FRAME]).sets
    if expected is None:
        assert entry.picks.rotations is None
    else:
        assert entry.picks.rotations is not None
        np.testing.assert_allclose(entry.picks.rotations, rotations_from_relion_euler([expected]), atol=1e-9)


def test_classes_and_scores(tmp_path: Path) -> None:
    def picks(columns: str, values: str) -> tuple[tuple[str, ...], list[float]]:
        (entry,) = read_particles(star(tmp_path, f"{CORNER} {columns}", f"TS_01 40 80 100 {values}"), [FRAME]).sets
        return entry.picks.class_names, entry.picks.scores.tolist()

    assert picks("ClassNumber AutopickFigureOfMerit", "3 0.25") == (("3",), [0.25])
    assert picks("LCCmax", "0.5") == (("",), [0.5])
    path = star(tmp_path, f"{CORNER} ClassNumber", "TS_01 40 80 100 3")
    path.write_text(
        path.read_text().replace("_rlnClassNumber", "_rlnClassNumber\n_cryosiamClassName").replace("100 3", "100 3 001")
    )
    assert read_particles(path, [FRAME]).sets[0].picks.class_names == ("001",)


def test_names_are_matched(tmp_path: Path) -> None:
    path = star(tmp_path, CORNER, "TS_01 40 80 100", "TS_02.tomostar 1 2 3", "x/rec_TS_03.mrc 1 2 3", "TS_9 1 2 3")
    frames = [TomogramFrame(name, name, pixel_size_angstrom=1.0) for name in ("TS_01", "TS_02", "TS_03", "TS_1")]
    read = read_particles(path, frames)
    assert [entry.picks.run for entry in read.sets] == ["TS_01", "TS_02", "TS_03"]
    assert read.notes == ["particles of 1 tomograms that are not known were left out: 'TS_9'"]
    with pytest.raises(InputError, match=r"names tomogram 'TS_01', but the known ones are 'TS_7'"):
        read_particles(path, [TomogramFrame("TS_7", "TS_7", pixel_size_angstrom=1.0)])
    with pytest.raises(InputError, match="may be any of"):
        read_particles(path, [TomogramFrame("a", "rec_TS_02"), TomogramFrame("b", "TS_02.mrc")])


def test_frames_may_be_asked_for(tmp_path: Path) -> None:
    path = star(tmp_path, CORNER, "a.tomostar 40 80 100", "b.tomostar 1 2 3", "a.tomostar 1 1 1")
    asked: list[list[str]] = []

    def frames(names: list[str]) -> list[TomogramFrame]:
        asked.append(names)
        return [TomogramFrame("run", "b.tomostar", voxel_size_angstrom=1.0)]

    read = read_particles(path, frames)
    assert asked == [["a.tomostar", "b.tomostar"]]
    assert positions(read) == [[1, 2, 3]]
    assert "'a.tomostar'" in read.notes[0]


def test_binned_by_averaging_is_undone(tmp_path: Path) -> None:
    frame = TomogramFrame("r", "TS_01", 10.0, (100, 90, 50), 2.5, (400, 360, 200), binned_by_averaging=4)
    path = star(tmp_path, CORNER, "TS_01 41.5 81.5 101.5")
    assert positions(read_particles(path, [frame])) == [[100, 200, 250]]


@pytest.mark.parametrize(
    ("columns", "rows", "words"),
    [
        ("TomoName CoordinateX CoordinateY", ("TS_01 1 2",), "has no rlnCoordinateZ"),
        ("TomoName AngleRot", ("TS_01 1",), "no columns of places"),
        (CORNER, (), "holds no particles"),
        (CORNER, ("TS_01 1 two 3",), "'two' in row 1 of rlnCoordinateY"),
        (CORNER, ("TS_01 1 nan 3",), "'nan' in row 1"),
        (f"{CORNER} OpticsGroup", ("TS_01 1 2 3 2",), "optics group 2, which data_optics lacks"),
        (CORNER, ("TS_01 1 2 3",), "does not say which optics group"),
        (f"{MICROGRAPH} PixelSize", ("TS_01.mrc 1 2 3 0",), "not above zero"),
    ],
)
def test_particles_that_are_wrong(tmp_path: Path, columns: str, rows: tuple[str, ...], words: str) -> None:
    groups = ("OpticsGroup TomoTiltSeriesPixelSize", "1 2.5") + (("3 2.5",) if "does not say" in words else ())
    optics = groups if "ptics" in words else ()
    with pytest.raises(InputError, match=words):
        read_particles(star(tmp_path, columns, *rows, optics=optics), [FRAME])


def test_units_that_cannot_be_right(tmp_path: Path) -> None:
    # Å where voxels are wanted: 10 times too far out.
    rows = [f"TS_01.tomostar {900 - number} 800 400" for number in range(30)]
    with pytest.raises(InputError, match=r"30 of 30 particles .* lie outside .* read as warp \(tomogram voxel\)"):
        read_particles(star(tmp_path, MICROGRAPH, *rows), [FRAME])
    # Voxels where unbinned pixels are wanted: all in a corner.
    rows = [f"TS_01 {99 - number} 80 40" for number in range(30)]
    (note,) = read_particles(star(tmp_path, CORNER, *rows), [FRAME]).notes
    assert "in one corner" in note
    rows = [*rows[:29], "TS_01 390 80 -40"]
    (note,) = read_particles(star(tmp_path, CORNER, *rows), [FRAME]).notes
    assert note.startswith("1 of 30 particles")


def test_shares_of_an_unknown_size_are_refused(tmp_path: Path) -> None:
    path = star(tmp_path, MICROGRAPH, "TS_01.tomostar 0.1 0.5 0.5")
    with pytest.raises(InputError, match="shares of the tomogram's size"):
        read_particles(path, [TomogramFrame("r", "TS_01", 10.0)])


def test_lists_that_name_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "optimisation_set.star"
    path.write_text("data_\n_rlnTomoParticlesFile particles.star\n_rlnTomoTomogramsFile tomograms.star\n")
    with pytest.raises(InputError, match=r"names particles\.star, which is not there"):
        read_particles(path, None)
    path.write_text("data_micrographs\nloop_\n_rlnMicrographName\na.mrc\n")
    with pytest.raises(InputError, match="without coordinate files"):
        read_particles(path, None)


def test_coordinate_files_of_tomograms_whose_names_begin_alike(tmp_path: Path) -> None:
    optics = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n1 10\n2 5\n"
    (tmp_path / "tomos.star").write_text(
        f"{optics}data_micrographs\nloop_\n_rlnMicrographName\n_rlnOpticsGroup\nt/TS_1.mrc 1\nt/TS_1_2.mrc 2\n"
    )
    (tmp_path / "t").mkdir()
    for name in ("TS_1_picks.star", "TS_1_2_picks.star"):
        (tmp_path / "t" / name).write_text("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n")
    read = read_particles(tmp_path / "tomos.star", None)
    found = {entry.frame.name: entry.picks.positions_angstrom.tolist() for entry in read.sets}
    assert found == {"TS_1": [[10, 20, 30]], "TS_1_2": [[5, 10, 15]]}


def test_particles_of_a_species_in_m(tmp_path: Path) -> None:
    path = tmp_path / "species_particles.star"
    labels = [
        f"_wrp{name}1" for name in ("CoordinateX", "CoordinateY", "CoordinateZ", "AngleRot", "AngleTilt", "AnglePsi")
    ]
    path.write_text("data_\nloop_\n" + "\n".join([*labels, "_wrpSourceName"]) + "\n10 20 30 1 2 3 TS_01.tomostar\n")
    (entry,) = read_particles(path, [FRAME]).sets
    assert entry.picks.positions_angstrom.tolist() == [[10, 20, 30]]
    assert entry.picks.rotations is not None
    np.testing.assert_allclose(entry.picks.rotations, rotations_from_relion_euler([[1, 2, 3]]))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tbl", "1 2 3\n", "not a Dynamo table"),
        ("a.tbl", "", "not a Dynamo table"),
        ("a.tbl", " ".join("1" * 35) + "\n" + " ".join("1" * 30), "row 2 .* has 30 columns"),
        ("a.csv", "x,x\n1,2\n", "names each column once"),
        ("a.csv", "run_name,x,y,z\na,1,2\n", "row 2 .* has 3 cells for 4 columns"),
        ("a.csv", "name,x\na,1\n", "no column of places"),
        ("a.csv", "", "names each column once"),
    ],
)
def test_tables_that_are_wrong(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        read_particles(tmp_path / name, [FRAME])


def test_csv_of_copick(tmp_path: Path) -> None:
    """A point lies at its location and the translation of its matrix."""
    formats = pytest.importorskip("copick.util.formats")
    matrix = np.eye(4)
    matrix[:3, :3] = rotations_from_relion_euler([[10, 20, 30]])[0]
    matrix[:3, 3] = [1, 2, 3]
    formats.write_picks_csv(str(tmp_path / "a.csv"), "TS_01", np.array([[10.0, 20, 30]]), matrix[None], np.array([0.5]))
    (entry,) = read_particles(tmp_path / "a.csv", None).sets
    assert entry.picks.positions_angstrom.tolist() == [[11, 22, 33]]
    assert entry.picks.scores.tolist() == [0.5]
    assert entry.picks.rotations is not None
    np.testing.assert_allclose(entry.picks.rotations[0], matrix[:3, :3])


def test_dynamo_tables(tmp_path: Path) -> None:
    names = [column.name for column in load_dialect("dynamo").particles.columns]
    row = dict.fromkeys(names, "0") | {"x": "10.5", "y": "20.5", "z": "30.5", "dx": "1", "dz": "-2", "tomo": "3"}
    row |= {"cc": "0.5+1e-6i", "class": "2"}
    (tmp_path / "crop.tbl").write_text(" ".join(row.values()) + " 0 0\r\n")
    frame = TomogramFrame("run", "3", 10.0)
    (entry,) = read_particles(tmp_path / "crop.tbl", [frame]).sets
    # The centre of the first voxel is at 0.5.
    assert entry.picks.positions_angstrom.tolist() == [[110, 200, 280]]
    assert entry.picks.scores.tolist() == [0.5]
    assert entry.picks.class_names == ("2",)
    assert entry.picks.rotations is None
    (tmp_path / "indices_column20.doc").write_text("3 tomograms/TS_01.mrc\n")
    assert read_particles(tmp_path / "crop.tbl", [FRAME]).sets[0].picks.run == "run1"
    (tmp_path / "indices_column20.doc").write_text("4 tomograms/TS_01.mrc\n")
    with pytest.raises(InputError, match="names no tomogram 3"):
        read_particles(tmp_path / "crop.tbl", [FRAME])
