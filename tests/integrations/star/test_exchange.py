"""Picks go to other programs' files and come back."""

from __future__ import annotations

import itertools
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cryosiam.domain import Picks
from cryosiam.errors import InputError
from cryosiam.integrations.star.dialect import DIALECTS, load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, read_particles, write_particles
from cryosiam.integrations.star.frame import Optics, TomogramFrame
from cryosiam.integrations.star.star_file import read_star

OPTICS = Optics("optics1", 300.0, 2.7, 0.1)
NAMES = ("TS_01", "001", "1e5", "TS_01.mrc", "a-b.c", "-5", "2024.11.21_x", "rec_7", "TS_17.tomostar", "NaN", "0x1F")


def frame(name: str = "TS_01", unbinned: tuple[int, int, int] = (256, 241, 127), **facts: Any) -> TomogramFrame:
    binning = facts.pop("binning", 4)
    size = tuple(int(np.ceil(edge / binning)) for edge in unbinned)
    return TomogramFrame(name, name, 2.5 * binning, size, 2.5, unbinned, **{"optics": OPTICS, **facts})  # type: ignore[arg-type]


def framed(of: TomogramFrame, count: int = 5, seed: int = 1, oriented: bool = True, **columns: Any) -> FramedPicks:
    rng = np.random.default_rng(seed)
    assert of.unbinned_size_xyz is not None
    picks = Picks(
        of.run,
        rng.uniform(0, 1, (count, 3)) * np.array(of.unbinned_size_xyz) * 2.4,
        np.round(rng.uniform(0, 1, count), 6),
        columns.pop("names", tuple("ab"[row % 2] for row in range(count))),
        rng.integers(0, 70_000, count),
        Rotation.random(count, random_state=seed).as_matrix() if oriented else None,
    )
    return FramedPicks(of, replace(picks, **columns))


def assert_same(back: Picks, ours: Picks, instances: bool = True) -> None:
    np.testing.assert_allclose(back.positions_angstrom, ours.positions_angstrom, atol=1e-3)
    np.testing.assert_allclose(back.scores, ours.scores, atol=1e-6)
    assert back.class_names == ours.class_names
    assert back.run == ours.run
    if instances:
        np.testing.assert_array_equal(back.instance_ids, ours.instance_ids)
    if ours.rotations is None:
        assert back.rotations is None
    else:
        assert back.rotations is not None
        np.testing.assert_allclose(back.rotations, ours.rotations, atol=1e-4)


@st.composite
def frames(draw: st.DrawFn) -> list[TomogramFrame]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    binning = draw(st.sampled_from([1, 2, 4]))
    averaged = draw(st.sampled_from([1, binning]))
    return [
        frame(
            name,
            draw(st.tuples(*[st.integers(100, 300)] * 3)),
            binning=binning,
            binned_by_averaging=averaged,
            tomogram_path=f"Tomograms/job{number:03d}/rec_{name}.mrc",
        )
        for number, name in enumerate(names, start=7)
    ]


@pytest.mark.parametrize("name", DIALECTS)
@given(frames=frames(), seed=st.integers(0, 10**6), oriented=st.booleans(), given_name=st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_there_and_back(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    frames: list[TomogramFrame],
    seed: int,
    oriented: bool,
    given_name: bool,
) -> None:
    folder = tmp_path_factory.mktemp(name)
    dialect = load_dialect(name)
    ours = [framed(of, 4, seed + number, oriented, names=("ribosome",) * 4) for number, of in enumerate(frames)]
    written = write_particles(folder, dialect, ours)
    # The list, where there is one, names the particle files.
    lists = [path for path in written.paths if path.name in ("ribosome_list.star", "tomos.star")]
    path = lists[0] if lists else written.paths[0]
    back = read_particles(path, frames, dialect if given_name else None).sets
    if name == "dynamo":  # a table holds numbers of classes; the file's name says which class
        assert {number for entry in back for number in entry.picks.class_names} == {"1"}
        back = [replace(entry, picks=replace(entry.picks, class_names=("ribosome",) * 4)) for entry in back]
    assert {entry.frame.name for entry in back} == {of.name for of in frames}
    for entry in ours:
        (match,) = [other for other in back if other.frame.name == entry.frame.name]
        assert_same(match.picks, entry.picks)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name not in ("dynamo", "relion5-import", "relion31")])
def test_all_species_in_one_file(tmp_path: Path, name: str) -> None:
    ours = [framed(frame("TS_01"), 6, 1), framed(frame("TS_02"), 3, 2), framed(frame("TS_01"), 2, 3)]
    written = write_particles(tmp_path, load_dialect(name), ours, one_file=True)
    assert written.paths[0].stem == "particles"
    first, second = read_particles(written.paths[0], [entry.frame for entry in ours[:2]]).sets
    assert len(first.picks) == 8
    assert_same(second.picks, ours[1].picks)


def test_a_file_for_each_species(tmp_path: Path) -> None:
    ours = [framed(frame(), 5), framed(frame("TS_02"), 3, names=("b", "b", "c"))]
    written = write_particles(tmp_path, load_dialect("relion5"), ours)
    assert [path.name for path in written.paths] == ["a.star", "b.star", "c.star"]
    tables = [read_star(path).block("particles") for path in written.paths]
    assert [table.text("rlnClassNumber")[0] for table in tables if table is not None] == ["1", "2", "3"]
    assert [len(table) for table in tables if table is not None] == [3, 4, 1]


def test_numbers_of_particles_go_on_where_a_tomogram_comes_twice(tmp_path: Path) -> None:
    ours = [framed(frame(), 2), framed(frame(), 3)]
    (path,) = write_particles(tmp_path, load_dialect("relion5"), ours, one_file=True).paths
    table = read_star(path).block("particles")
    assert table is not None
    assert table.text("rlnTomoParticleName") == [f"TS_01/{number}" for number in range(1, 6)]


def test_optimisation_set_names_the_tomograms_star_given(tmp_path: Path) -> None:
    project = tmp_path / "project"
    elsewhere = tmp_path / "elsewhere" / "tomograms.star"
    for tomograms, words in (
        (project / "Tomograms" / "job007" / "tomograms.star", "Tomograms/job007/tomograms.star"),
        (elsewhere, elsewhere.as_posix()),
    ):
        written = write_particles(
            project / "picks",
            load_dialect("relion5"),
            [framed(frame())],
            one_file=True,
            project_root=project,
            tomograms_star=tomograms,
        )
        assert [path.name for path in written.paths] == ["particles.star", "optimisation_set.star"]
        (block,) = read_star(written.paths[1]).blocks
        assert block.name == ""
        assert not block.is_loop
        assert block.text("rlnTomoParticlesFile") == ["picks/particles.star"]
        assert block.text("rlnTomoTomogramsFile") == [words]
    back = read_particles(written.paths[1], [frame()], project_root=project)
    assert len(back.sets[0].picks) == 5


def test_without_tomograms_star_there_is_no_optimisation_set(tmp_path: Path) -> None:
    written = write_particles(tmp_path, load_dialect("relion5"), [framed(frame())])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.star", "b.star"]
    assert len(written.paths) == 2


def test_optics_groups_are_numbered_by_row(tmp_path: Path) -> None:
    other = replace(OPTICS, name="optics2", voltage_kv=200.0)
    ours = [framed(frame("TS_02", optics=other), 2), framed(frame("TS_01"), 3), framed(frame("TS_03", optics=other), 1)]
    (path,) = write_particles(tmp_path, load_dialect("relion5"), ours, one_file=True).paths
    optics, particles = read_star(path).blocks
    assert optics.text("rlnOpticsGroup") == ["1", "2"]
    assert optics.text("rlnOpticsGroupName") == ["optics2", "optics1"]
    assert particles.text("rlnOpticsGroup") == ["1", "1", "2", "2", "2", "1"]


def test_warp_never_gets_three_zeros(tmp_path: Path) -> None:
    """Warp leaves all angles out of its output if one particle has none but zeros."""
    matrices = np.stack([np.eye(3), Rotation.from_euler("ZYZ", [10, 20, 30], degrees=True).as_matrix()])
    ours = framed(frame(), 2, rotations=matrices, names=("a", "a"))
    (path,) = write_particles(tmp_path, load_dialect("warp"), [ours]).paths
    (block,) = read_star(path).blocks
    angles = np.stack([block.numbers(name) for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")], axis=1)
    assert angles.any(axis=1).all()
    assert_same(read_particles(path, [ours.frame]).sets[0].picks, ours.picks)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name not in ("m", "dynamo", "csv")])
def test_no_angles_without_orientations(tmp_path: Path, name: str) -> None:
    written = write_particles(tmp_path, load_dialect(name), [framed(frame(), oriented=False)])
    assert "Angle" not in written.paths[0].read_text()
    assert not any("Subtomogram" in path.read_text() for path in written.paths)


@pytest.mark.parametrize("name", ["m", "dynamo"])
def test_readers_that_want_angles_get_zeros_and_the_user_is_told(tmp_path: Path, name: str) -> None:
    written = write_particles(tmp_path, load_dialect(name), [framed(frame(), oriented=False)])
    assert any("zeros" in sentence for sentence in written.lost)


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    ours = [
        framed(frame("001"), radii_angstrom=np.full(5, 100.0), names=("a",) * 5),
        framed(frame("TS_02"), oriented=False, names=("a",) * 5),
    ]
    lost = " ".join(write_particles(tmp_path, load_dialect("relion5"), ours).lost)
    for words in ("orientations of a are known in 1 of 2", "size of a particle", "'001'"):
        assert words in lost
    lost = " ".join(write_particles(tmp_path, load_dialect("dynamo"), ours, one_file=True).lost)
    for words in ("1 is a", "001.mrc"):
        assert words in lost
    assert write_particles(tmp_path, load_dialect("csv"), ours).lost == []


def test_csv_holds_everything(tmp_path: Path) -> None:
    ours = [
        framed(frame("TS_01"), radii_angstrom=np.linspace(50, 51, 5) / 3, names=("a",) * 5),
        framed(frame("TS_02"), radii_angstrom=np.linspace(10, 11, 5) / 7, names=("a",) * 5),
    ]
    (path,) = write_particles(tmp_path, load_dialect("csv"), ours).paths
    for entry, back in zip(ours, read_particles(path, None).sets, strict=True):
        np.testing.assert_array_equal(back.picks.positions_angstrom, entry.picks.positions_angstrom)
        np.testing.assert_array_equal(back.picks.scores, entry.picks.scores)
        np.testing.assert_allclose(back.picks.rotations, entry.picks.rotations, atol=1e-9)  # type: ignore[arg-type]
        np.testing.assert_array_equal(back.picks.radii_angstrom, entry.picks.radii_angstrom)  # type: ignore[arg-type]


def test_copick_reads_the_csv(tmp_path: Path) -> None:
    formats = pytest.importorskip("copick.util.formats")
    ours = framed(frame(), names=("a",) * 5)
    (path,) = write_particles(tmp_path, load_dialect("csv"), [ours]).paths
    positions, matrices, scores, instances = formats.csv_to_copick_arrays(formats.read_picks_csv(str(path)), True)[
        "TS_01"
    ]
    np.testing.assert_allclose(positions, ours.picks.positions_angstrom)
    np.testing.assert_allclose(matrices[:, :3, :3], ours.picks.rotations)
    np.testing.assert_allclose(scores, ours.picks.scores)
    np.testing.assert_array_equal(instances, ours.picks.instance_ids)


def test_dynamo_table_has_35_columns_and_a_map_file(tmp_path: Path) -> None:
    ours = [framed(frame("TS_05", tomogram_path="t/a.mrc"), 2), framed(frame("TS_02", tomogram_path="t/b.mrc"), 1)]
    table, numbers = write_particles(tmp_path, load_dialect("dynamo"), ours, one_file=True).paths
    rows = [line.split(" ") for line in table.read_text().splitlines()]
    assert [len(row) for row in rows] == [35, 35, 35]
    assert [(row[0], row[19]) for row in rows] == [("1", "1"), ("2", "1"), ("3", "2")]
    assert numbers.read_text() == "1 t/a.mrc\n2 t/b.mrc\n"
    np.testing.assert_allclose(
        np.array([row[23:26] for row in rows[:2]], float), ours[0].picks.positions_angstrom / 10 + 0.5, atol=1e-6
    )


def test_relion31_files_lie_where_relion_looks_for_them(tmp_path: Path) -> None:
    ours = [framed(frame("TS_01", tomogram_path="Tomograms/job007/t.v2/rec_TS_01.mrc"), 2, names=("a", "a"))]
    coordinates, tomograms = write_particles(tmp_path, load_dialect("relion31"), ours).paths
    assert coordinates.relative_to(tmp_path) == Path("t.v2/rec_TS_01_a.star")
    optics, micrographs = read_star(tomograms).blocks
    assert optics.text("rlnMicrographPixelSize") == ["10.000000"]
    assert micrographs.text("rlnMicrographName") == ["Tomograms/job007/t.v2/rec_TS_01.mrc"]
    (block,) = read_star(coordinates).blocks
    assert all(cell.isdigit() for cell in block.text("rlnCoordinateX"))
    assert np.abs(block.numbers("rlnOriginXAngst")).max() <= 5


def test_nothing_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picks"):
        write_particles(tmp_path, load_dialect("relion5"), [framed(frame(), 0)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        ("relion5", {"unbinned_size_xyz": None}, "--tomogram-size"),
        ("relion5", {"pixel_size_angstrom": None}, "--tilt-series-pixel-size"),
        ("relion4", {"pixel_size_angstrom": None}, "--tilt-series-pixel-size"),
        ("scipion", {"pixel_size_angstrom": None}, "--tilt-series-pixel-size"),
        ("warp", {"voxel_size_angstrom": None}, "--voxel-size"),
        ("m", {"voxel_size_angstrom": None}, "--voxel-size"),
        ("dynamo", {"voxel_size_angstrom": None}, "--voxel-size"),
        ("relion31", {"optics": None}, "--tomograms-star"),
    ],
)
def test_unknown_facts_are_refused_with_what_to_pass(
    tmp_path: Path, name: str, facts: dict[str, None], words: str
) -> None:
    good, bad = frame("TS_01"), replace(frame("TS_02"), **facts)
    with pytest.raises(InputError, match=words) as error:
        write_particles(tmp_path, load_dialect(name), [framed(good), replace(framed(frame("TS_02")), frame=bad)])
    assert "TS_02" in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["my tomogram", 'a"b', "a#b", "", "_x", "data_x", "a/b", "loop_", "x,y"])
@pytest.mark.parametrize("what", ["tomogram", "class"])
def test_names_that_readers_take_apart_are_refused(tmp_path: Path, name: str, what: str) -> None:
    ours = framed(frame(), 1, names=("a",))
    bad = (
        replace(ours, frame=replace(ours.frame, name=name))
        if what == "tomogram"
        else replace(ours, picks=replace(ours.picks, class_names=(name,)))
    )
    with pytest.raises(InputError, match="rename"):
        write_particles(tmp_path, load_dialect("relion5"), [bad])
    assert not list(tmp_path.iterdir())


def test_one_voxel_size_for_warp(tmp_path: Path) -> None:
    ours = [framed(frame("TS_01")), framed(frame("TS_02", binning=2))]
    with pytest.raises(InputError, match=r"one voxel size .*'TS_01' 10 Å.*'TS_02' 5 Å"):
        write_particles(tmp_path, load_dialect("warp"), ours)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.diag([1, 1, -1]), np.full((3, 3), np.nan), 2 * np.eye(3)])
def test_a_matrix_that_is_no_rotation_is_refused(tmp_path: Path, matrix: np.ndarray[Any, Any]) -> None:
    matrices = np.stack([np.eye(3), matrix]).astype(np.float64)
    with pytest.raises(InputError, match="pick 2 in run 'TS_01' is not a rotation"):
        write_particles(tmp_path, load_dialect("warp"), [framed(frame(), 2, rotations=matrices)])


def test_every_dialect_says_what_its_columns_are() -> None:
    names = sorted(Path(str(entry)).stem for entry in files("cryosiam.schemas").joinpath("star").iterdir())
    assert set(DIALECTS) <= set(names)
    for name in names:
        dialect = load_dialect(name)
        assert dialect.name == name
        for layout in (dialect, *dialect.companions):
            for block in layout.blocks:
                assert len({column.name for column in block.columns}) == len(block.columns)
                for column in block.columns:
                    assert column.meaning
                    assert column.read_by
                    assert column.field or column.value is not None
                    place = any(word in column.field for word in ("pixel.", "voxel.", "centred", "position", "euler"))
                    assert column.unit or not place


def test_dialects_differ_where_their_programs_do() -> None:
    """Guards the facts that the sheets of the dialects stand for."""
    columns = {name: [column.name for column in load_dialect(name).particles.columns] for name in DIALECTS}
    assert not any("Centered" in column for name in ("warp", "m", "relion4", "scipion") for column in columns[name])
    assert not any("Origin" in column for name in ("warp", "m") for column in columns[name])
    for first, second in itertools.product(("rlnMicrographName",), ("scipion",)):
        assert first not in columns[second]
    for name in ("warp", "m"):
        (block,) = load_dialect(name).blocks
        assert block.name == ""
    for name in ("relion4", "relion5-import", "scipion"):
        assert [block.name for block in load_dialect(name).blocks] == ["particles"]
