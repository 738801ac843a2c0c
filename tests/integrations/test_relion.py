"""STAR files: columns as the dialects say, readable by other programs, never wrong in silence."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.errors import InputError, StorageError
from cryosiam.integrations.relion.picks_star import PicksStarSink
from cryosiam.integrations.relion.relion5 import NEEDED, Relion5Sink
from cryosiam.integrations.relion.tomograms_star import read_tomograms
from cryosiam.integrations.star.dialect import Block, Column, Dialect, load_dialect
from cryosiam.integrations.star.star_writer import write_star
from cryosiam.ports import ProductKey, Sink

KEY = ProductKey("cryosiam", "7")
DATA = Path(__file__).parents[3] / "shared" / "data" / "metadata"
TOMOGRAMS = """
data_global

loop_
_rlnTomoName #1
_rlnVoltage #2
_rlnSphericalAberration #3
_rlnAmplitudeContrast #4
_rlnTomoTiltSeriesPixelSize #5
_rlnTomoTomogramBinning #6
_rlnTomoSizeX #7
_rlnTomoSizeY #8
_rlnTomoSizeZ #9
_rlnTomoReconstructedTomogram #10
TS_01 300.0 2.7 0.1 2.5 4.0 256 240 127 Tomograms/job001/tomograms/rec_TS_01.mrc
TS_02 300.0 2.7 0.1 2.5 4.0 256 240 127 Tomograms/job001/tomograms/rec_TS_02.mrc
"""


def tomogram(run: str = "TS_01", shape: tuple[int, int, int] = (32, 60, 64), voxel_size: float = 10.0) -> Tomogram:
    return Tomogram(run, ArrayVolume(np.zeros(shape, np.int8)), voxel_size, "wbp", "memory")


def picks(run: str = "TS_01", names: Sequence[str] = ("b", "a", "b"), rotations: Any = None) -> Picks:
    count = len(names)
    positions = np.random.default_rng(3).uniform(0, 300, (count, 3))
    scores = np.linspace(0, 1, count)
    return Picks(run, positions, scores, tuple(names), np.arange(1, count + 1), rotations)


def particles(path: Path) -> Any:
    blocks = starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName", "cryosiamClassName"])
    return blocks["particles"]


@pytest.fixture
def tomograms_star(tmp_path: Path) -> Path:
    path = tmp_path / "tomograms.star"
    path.write_text(TOMOGRAMS)
    return path


def test_picks_star(tmp_path: Path) -> None:
    sink = PicksStarSink(tmp_path)
    assert isinstance(sink, Sink)
    sink.check(["TS_01", "TS_02"], KEY)
    second, first = picks("TS_02", ("c",)), picks()
    assert sink.write_picks(tomogram("TS_02", voxel_size=13.48), second, KEY) == []
    sink.write_picks(tomogram(), first, KEY)
    assert sink.finish(KEY) == [str(tmp_path / "picks.star")]
    text = (tmp_path / "picks.star").read_text()
    assert text.index("data_particles") == text.index("data_")
    table = particles(tmp_path / "picks.star")
    assert list(table["rlnTomoName"]) == ["TS_01"] * 3 + ["TS_02"]
    coordinates = table[["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]].to_numpy()
    np.testing.assert_allclose(coordinates[:3], first.positions_angstrom / 10, atol=1e-4)
    np.testing.assert_allclose(coordinates[3:], second.positions_angstrom / 13.48, atol=1e-4)
    assert list(table["rlnClassNumber"]) == [2, 1, 2, 3]
    assert list(table["cryosiamClassName"]) == ["b", "a", "b", "c"]
    np.testing.assert_allclose(table["rlnAutopickFigureOfMerit"], [0, 0.5, 1, 0])
    assert list(table["cryosiamInstanceId"]) == [1, 2, 3, 1]
    assert not [name for name in table.columns if "Angle" in name]


def test_orientations_are_written_only_where_all_are_known(tmp_path: Path) -> None:
    matrices = Rotation.from_euler("ZYZ", [[10, 20, 30], [-40, 90, 60], [5, 170, 0]], degrees=True).inv().as_matrix()
    sink = PicksStarSink(tmp_path)
    sink.write_picks(tomogram(), picks(rotations=matrices), KEY)
    sink.finish(KEY)
    table = particles(tmp_path / "picks.star")
    angles = table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    np.testing.assert_allclose(angles, [[10, 20, 30], [-40, 90, 60], [5, 170, 0]], atol=1e-3)
    sink.write_picks(tomogram("TS_02"), picks("TS_02"), KEY)
    sink.finish(KEY)
    assert "rlnAngleRot" not in particles(tmp_path / "picks.star").columns


@pytest.mark.parametrize("kind", ["picks", "relion5"])
def test_no_picks_no_file(tmp_path: Path, kind: str) -> None:
    sink = PicksStarSink(tmp_path) if kind == "picks" else Relion5Sink(tmp_path, None, 2.5, (256, 240, 128))
    sink.write_picks(tomogram(), picks(), KEY)
    written, *_ = sink.finish(KEY)
    assert Path(written).exists()
    sink.write_picks(tomogram(), picks(names=()), KEY)
    (said,) = sink.finish(KEY)
    assert "not written because there are no picks" in said
    assert not Path(written).exists()


def test_relion5_with_tomograms_star(tmp_path: Path, tomograms_star: Path) -> None:
    sink = Relion5Sink(tmp_path, tomograms_star)
    assert isinstance(sink, Sink)
    sink.check(["TS_01", "rec_TS_02"], KEY)
    ours = picks()
    sink.write_picks(tomogram(), ours, KEY)
    sink.write_picks(tomogram("rec_TS_02"), picks("rec_TS_02", ("a",)), KEY)
    path, *_ = sink.finish(KEY)
    blocks = starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName"])
    table, optics = blocks["particles"], blocks["optics"]
    # By file name of the reconstruction the run is found, and RELION's own name is written back.
    assert list(table["rlnTomoName"]) == ["TS_01"] * 3 + ["TS_02"]
    assert list(table["rlnTomoParticleName"]) == ["TS_01/1", "TS_01/2", "TS_01/3", "TS_02/1"]
    centred = table[[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]].to_numpy()
    wanted = ours.positions_angstrom - np.array([256 / 2, 240 / 2, 127 / 2]) * 2.5
    np.testing.assert_allclose(centred[:3], wanted, atol=1e-3)
    assert list(optics["rlnOpticsGroupName"]) == ["TS_01", "TS_02"]
    assert list(table["rlnOpticsGroup"]) == [1, 1, 1, 2]
    assert list(optics["rlnTomoTiltSeriesPixelSize"]) == [2.5, 2.5]
    assert list(optics["rlnVoltage"]) == [300, 300]


def test_relion5_with_options_leaves_the_optics_to_relion(tmp_path: Path) -> None:
    sink = Relion5Sink(tmp_path, tilt_series_pixel_size_angstrom=2.5, tomogram_size_xyz=(256, 240, 127))
    sink.write_picks(tomogram(), picks(), KEY)
    path, *_ = sink.finish(KEY)
    assert set(starfile.read(path, always_dict=True)) == {"particles"}
    assert "rlnOpticsGroup" not in particles(Path(path)).columns


@pytest.mark.parametrize("pixel_size", [np.nan, np.inf, 0.0])
def test_impossible_pixel_size_is_refused_beside_tomograms_star(
    tmp_path: Path, tomograms_star: Path, pixel_size: float
) -> None:
    with pytest.raises(InputError, match="--tilt-series-pixel-size"):
        Relion5Sink.from_options(tmp_path, tomograms_star, pixel_size)


def test_binning_alone_does_not_make_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tomograms-star FILE"):
        Relion5Sink.from_options(tmp_path, binned_by_averaging=2)
    with pytest.raises(InputError, match="--binned-by-averaging"):
        Relion5Sink.from_options(tmp_path, None, 2.5, (10, 10, 10), binned_by_averaging=0)


def test_relion5_says_what_it_needs(tmp_path: Path, tomograms_star: Path) -> None:
    assert Relion5Sink.from_options(tmp_path) == NEEDED
    assert "--tomograms-star FILE" in NEEDED
    assert isinstance(Relion5Sink.from_options(tmp_path, tomograms_star), Relion5Sink)
    for options in (
        {"tilt_series_pixel_size_angstrom": 2.5},
        {"tomogram_size_xyz": (10, 10, 10)},
    ):
        with pytest.raises(InputError, match="--tomogram-size X,Y,Z"):
            Relion5Sink.from_options(tmp_path, **options)  # type: ignore[arg-type]
    for size in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="above zero"):
            Relion5Sink(tmp_path, None, size, (10, 10, 10))


def test_run_that_relion_does_not_know(tmp_path: Path, tomograms_star: Path) -> None:
    with pytest.raises(InputError, match=r"run 'TS_03' is not in .* \(there: TS_01, TS_02\)"):
        Relion5Sink(tmp_path, tomograms_star).check(["TS_03"], KEY)


@pytest.mark.parametrize("shape", [(40, 60, 64), (60, 32, 64)])
def test_tomogram_of_another_size_has_another_centre(
    tmp_path: Path, tomograms_star: Path, shape: tuple[int, int, int]
) -> None:
    with pytest.raises(InputError, match="not trimmed or rotated"):
        Relion5Sink(tmp_path, tomograms_star).write_picks(tomogram(shape=shape), picks(), KEY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no star file", "not a STAR file"),
        ("data_particles\n\nloop_\n_rlnTomoName #1\nTS_01\n", "no block data_global"),
        (TOMOGRAMS.replace("_rlnTomoSizeX", "_rlnOther"), "not its tilt_series.star"),
        (TOMOGRAMS.replace("256", "0"), "not above zero"),
        (TOMOGRAMS.replace("256", "wide"), "not a number"),
    ],
)
def test_tomograms_star_that_does_not_do(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "tomograms.star"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        Relion5Sink(tmp_path, path)
    assert "\n" not in str(error.value)


def test_tomograms_star_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        Relion5Sink(tmp_path, tmp_path / "tomograms.star")


def test_tomograms_star_of_warp() -> None:
    path = DATA / "warp2_matching_tomograms.star"
    if not path.exists():
        pytest.skip(f"{path} is not here: data beside the project")
    tomograms = read_tomograms(path)
    assert tomograms
    for tomogram in tomograms:
        assert tomogram.unbinned_size_xyz == (4400, 6000, 1000)
        assert tomogram.optics is not None


def test_tomograms_star_of_relion() -> None:
    path = DATA / "relion5_project" / "tilt_series.star"
    if not path.exists():
        pytest.skip(f"{path} is not here: data beside the project")
    tomograms = {tomogram.name: tomogram for tomogram in read_tomograms(path)}
    assert set(tomograms) >= {"220728_TS_01", "220728_TS_54"}
    path_of_first = "ReconstructTomograms/job007/tomograms/rec_220728_TS_01.mrc"
    assert tomograms["220728_TS_01"].tomogram_path == path_of_first


def test_names_that_star_cannot_carry(tmp_path: Path) -> None:
    sink = PicksStarSink(tmp_path)
    with pytest.raises(InputError, match="white space"):
        sink.check(["TS 01"], KEY)
    sink.write_picks(tomogram(), picks(names=["two words"]), KEY)
    with pytest.raises(InputError, match="cannot stand in a STAR file"):
        sink.finish(KEY)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        PicksStarSink(tmp_path / "out").check(["TS_01"], KEY)


TINY = Dialect(
    name="tiny",
    file="tiny.star",
    summary="for tests",
    blocks=(
        Block(
            name="rows",
            columns=(
                Column(name="text", type="string", meaning="text"),
                Column(name="number", type="float", decimals=3, meaning="number", minimum=-1e6, maximum=1e6),
                Column(name="count", type="integer", meaning="count", required=False),
            ),
        ),
    ),
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z][A-Za-z0-9._/@-]{0,8}", fullmatch=True).filter(
                lambda text: (
                    not text.startswith(("loop_", "data_")) and text.lower() not in ("nan", "null", "none", "na")
                )
            ),
            st.floats(-1e6, 1e6),
            st.integers(-1000, 1000),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_writer_and_reader_agree(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float, int]]) -> None:
    path = tmp_path_factory.mktemp("star") / "tiny.star"
    texts, numbers, counts = zip(*rows, strict=True)
    write_star(path, TINY, {"rows": {"text": texts, "number": numbers, "count": counts}})
    table = starfile.read(path, always_dict=True, parse_as_string=["text"])["rows"]
    assert list(table["text"]) == list(texts)
    np.testing.assert_allclose(table["number"], numbers, atol=5.1e-4)
    assert list(table["count"]) == list(counts)
    assert "-0.000\n" not in path.read_text()


@pytest.mark.parametrize(
    "table",
    [
        {"text": ["a"], "number": [float("nan")]},
        {"text": ["a"], "number": [float("inf")]},
        {"text": ["a"], "number": [2e6]},
        {"text": ["a"], "number": [1.0, 2.0]},
        {"text": ["a"]},
        {"text": ["a"], "number": [1.0], "other": [1]},
    ],
)
def test_writer_refuses_what_readers_would_misread(tmp_path: Path, table: dict[str, list[Any]]) -> None:
    with pytest.raises(ValueError, match=r"number|shorter|longer|unknown"):
        write_star(tmp_path / "tiny.star", TINY, {"rows": table})
    assert list(tmp_path.iterdir()) == []


def test_every_dialect_is_complete() -> None:
    names = [Path(str(entry)).stem for entry in files("cryosiam.schemas").joinpath("star").iterdir()]
    assert {"picks", "relion5"} <= set(names)
    for name in names:
        dialect = load_dialect(name)
        assert dialect.name == name
        for block in dialect.blocks:
            labels = [column.name for column in block.columns]
            assert len(set(labels)) == len(labels)
            assert all(column.unit for column in block.columns if "Coordinate" in column.name)
