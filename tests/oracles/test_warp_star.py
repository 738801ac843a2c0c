"""The oracle itself: the traps of Warp's parser, by files written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile

from .warp_star import WarpError, cut, load_particles_table, read_particles, read_table, rotation

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "metadata"
LABELS = "_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4\n"
ROW = "TS_01.tomostar 10 20 30\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "particles.star"
    path.write_text(text)
    return path


def test_an_anonymous_block_is_read_to_its_end(tmp_path: Path) -> None:
    found = read_particles(written(tmp_path, f"\ndata_\n\nloop_\n{LABELS}{ROW}{ROW}"), coords_angpix=2.0)
    assert found.positions_angstrom.tolist() == [[20, 40, 60]] * 2
    assert found.angles_deg is None
    assert found.of("TS_01.tomostar").tolist() == [0, 1]
    assert not found.of("TS_01").size


def test_the_numbers_of_the_labels_count_not_their_order(tmp_path: Path) -> None:
    text = "data_\nloop_\n_rlnCoordinateZ #2\n_rlnCoordinateY #1\n7 8\n"
    assert read_table(written(tmp_path, text)).column("rlnCoordinateZ") == ["8"]


@pytest.mark.parametrize("broken", ["\n", "# a comment\n", "TS_01.tomostar 1 2\n", "'TS 01.tomostar' 1 2 3\n"])
def test_a_line_of_other_length_ends_the_table_without_a_word(tmp_path: Path, broken: str) -> None:
    path = written(tmp_path, f"data_\n\nloop_\n{LABELS}{ROW}{broken}{ROW}")
    assert len(read_particles(path, 1.0).tilt_series) == 1


def test_a_comment_that_says_loop_is_taken_for_the_loop(tmp_path: Path) -> None:
    path = written(tmp_path, f"# every loop_ is a table\n\ndata_\n\nloop_\n{LABELS}{ROW}")
    assert read_table(path).columns == ()


def test_named_blocks_are_joined_by_optics_group(tmp_path: Path) -> None:
    optics = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n1 5.0\n2 6.0\n\n"
    particles = f"data_particles\n\nloop_\n{LABELS}_rlnOpticsGroup #5\nTS_01.tomostar 1 2 3 2\n"
    table = load_particles_table(written(tmp_path, optics + particles))
    assert table.column("rlnDetectorPixelSize") == ["6.0"]


def test_optics_before_an_anonymous_block_are_read_as_particles(tmp_path: Path) -> None:
    text = f"data_\n\nloop_\n_rlnOpticsGroup #1\n1\n\ndata_particles\n\nloop_\n{LABELS}{ROW}"
    with pytest.raises(WarpError, match="Couldn't find"):
        read_particles(written(tmp_path, text), 1.0)


@pytest.mark.parametrize(
    ("labels", "row", "message"),
    [
        ("_rlnTomoName\n_rlnCenteredCoordinateXAngst\n", "TS_01 1\n", "rlnCoordinateX"),
        (f"{LABELS}_rlnOriginXAngst #5\n", "TS_01.tomostar 1 2 3 4\n", "rlnPixelSize"),
        (f"{LABELS}_rlnCoordinateX #5\n", "TS_01.tomostar 1 2 3 4\n", "twice"),
        (LABELS, "TS_01.tomostar 1 2 <NA>\n", "<NA>"),
    ],
)
def test_what_stops_warp(tmp_path: Path, labels: str, row: str, message: str) -> None:
    with pytest.raises(WarpError, match=message):
        read_particles(written(tmp_path, f"data_\n\nloop_\n{labels}{row}"), 1.0)


def test_origins_are_taken_off_the_coordinates(tmp_path: Path) -> None:
    labels = f"{LABELS}_rlnOriginX #5\n_rlnOriginYAngst #6\n_rlnPixelSize #7\n"
    text = f"data_\n\nloop_\n{labels}TS_01.tomostar 10 10 10 1 4 2\n"
    assert read_particles(written(tmp_path, text), 1.0).positions_angstrom.tolist() == [[9, 8, 10]]


def test_the_axes_turn_by_rot_about_z_tilt_about_new_y_psi_about_new_z() -> None:
    np.testing.assert_allclose(rotation(0, 90, 0) @ [0, 0, 1], [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(30, 0, 0), rotation(0, 0, 30), atol=1e-12)
    np.testing.assert_allclose(rotation(90, 0, 0) @ [0, 1, 0], [1, 0, 0], atol=1e-12)


def test_a_cut_box_holds_the_place_in_its_middle() -> None:
    volume = np.zeros((9, 10, 11), np.float32)
    volume[3, 4, 6] = 1
    assert np.unravel_index(cut(volume, (6, 4, 3), 6).argmax(), (6, 6, 6)) == (3, 3, 3)


@pytest.mark.skipif(not DATA.exists(), reason=f"no shared data at {DATA}")
def test_a_file_that_warp_wrote_is_read_whole() -> None:
    path = DATA / "relion3.0_warp.star"
    (rows,) = starfile.read(path, always_dict=True).values()
    found = read_particles(path, 2.0)
    expected = rows[[f"rlnCoordinate{axis}" for axis in "XYZ"]].to_numpy(float) * 2.0
    np.testing.assert_allclose(found.positions_angstrom, expected)
    assert found.angles_deg is not None
    assert found.tilt_series == tuple(rows["rlnMicrographName"])
