"""Where pixel sizes, unbinned sizes and names come from: never guessed, never in contradiction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.frames import FrameFacts, PickedTomogram, frames_of
from cryosiam.integrations.handoff.known import KnownTomogram
from cryosiam.integrations.handoff.named_frames import frames_of_names
from cryosiam.integrations.handoff.names import match_names
from cryosiam.integrations.portal.frames import read_portal_tomograms
from cryosiam.integrations.relion.tomograms_star import read_tomograms
from cryosiam.integrations.star.core_names import core_name
from cryosiam.integrations.warp.frames import read_warp_tomograms

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
METADATA = DATA / "metadata"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no shared data at {DATA}")

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
002 300.0 2.7 0.1 2.5 4.0 256 240 127 Tomograms/job001/tomograms/rec_002.mrc
"""


def picked(run: str = "TS_01", **changes: Any) -> PickedTomogram:
    return replace(PickedTomogram(run, 10.0, (64, 60, 32), f"/projects/p/{run}.zarr"), **changes)


@pytest.fixture
def tomograms_star(tmp_path: Path) -> Path:
    path = tmp_path / "tomograms.star"
    path.write_text(TOMOGRAMS)
    return path


def refuse(*entries: PickedTomogram, **facts: Any) -> str:
    """Return the sentence with which frames are refused."""
    with pytest.raises(InputError) as error:
        frames_of(entries, FrameFacts(**facts))
    assert "\n" not in str(error.value)
    return str(error.value)


# RELION


def test_tomograms_star_gives_names_sizes_and_optics(tomograms_star: Path) -> None:
    frames = frames_of([picked(), picked("002")], FrameFacts(tomograms_star=tomograms_star, binned_by_averaging=2))
    assert [frame.name for frame in frames.by_run.values()] == ["TS_01", "002"]
    frame = frames.by_run["TS_01"]
    assert frame.pixel_size_angstrom == 2.5
    assert frame.unbinned_size_xyz == (256, 240, 127)
    assert frame.optics is not None
    assert frame.optics.voltage_kv == 300
    assert frame.tomogram_path == "Tomograms/job001/tomograms/rec_TS_01.mrc"
    assert frame.binned_by_averaging == 2
    assert frames.notes == ()


@pytest.mark.parametrize(
    ("run", "how"),
    [
        ("rec_TS_01", "by the file name"),
        ("TS_01_10.00Apx", "without what programs add"),
        ("TS_01_Vol", "without what programs add"),
    ],
)
def test_names_are_matched_and_the_user_is_told_how(tomograms_star: Path, run: str, how: str) -> None:
    frames = frames_of([picked(run)], FrameFacts(tomograms_star=tomograms_star))
    assert frames.by_run[run].name == "TS_01"
    assert f"{run} is TS_01" in frames.notes[0]
    assert how in frames.notes[0]


def test_the_path_of_the_reconstruction_comes_before_the_name(tmp_path: Path) -> None:
    path = tmp_path / "tomograms.star"
    path.write_text(TOMOGRAMS.replace("rec_002", "TS_01").replace("002 ", "TS_02 "))
    entry = picked("TS_01", path="/project/Tomograms/job001/tomograms/TS_01.mrc")
    frames = frames_of([entry], FrameFacts(tomograms_star=path))
    assert frames.by_run["TS_01"].name == "TS_02"
    assert "by the path of its reconstruction" in frames.notes[0]


def test_the_user_may_say_which_is_which(tomograms_star: Path) -> None:
    frames = frames_of([picked("lamella-3")], FrameFacts(tomograms_star=tomograms_star, names={"lamella-3": "002"}))
    assert frames.by_run["lamella-3"].name == "002"


def test_names_that_do_not_fit(tomograms_star: Path) -> None:
    star = {"tomograms_star": tomograms_star}
    assert "run 'TS_07' is not in" in refuse(picked("TS_07"), **star)
    assert "--name TS_07=NAME" in refuse(picked("TS_07"), **star)
    assert "are all 'TS_01'" in refuse(picked(), picked("rec_TS_01"), **star)
    assert "there is no 'TS_9'" in refuse(picked(), names={"TS_01": "TS_9"}, **star)
    assert "no picks of a run 'TS_9'" in refuse(picked(), names={"TS_9": "TS_01"}, **star)


def test_a_run_that_may_be_two_tomograms_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "tomograms.star"
    path.write_text(TOMOGRAMS.replace("002 ", "TS_01.tomostar ").replace("rec_002", "other"))
    assert "may be TS_01 and TS_01.tomostar" in refuse(picked("rec_TS_01_Vol"), tomograms_star=path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOMOGRAMS.replace("data_global", "data_particles"), "no block data_global"),
        (TOMOGRAMS.replace("_rlnTomoSizeX", "_rlnOther"), "not its tilt_series.star"),
        (TOMOGRAMS.replace("256", "0"), "not above zero"),
        (TOMOGRAMS.replace("256", "-1"), "not above zero"),
        (TOMOGRAMS.replace("256", "wide"), "not a number"),
        (TOMOGRAMS.replace("002 ", "TS_01 "), "more than once"),
        (TOMOGRAMS[: TOMOGRAMS.index("TS_01 300")], "lists no tomograms"),
        ("TS_01 10 20 30", "not a STAR file"),
    ],
)
def test_tomograms_star_that_does_not_do(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "tomograms.star"
    path.write_text(text)
    assert words in refuse(picked(), tomograms_star=path)


@needs_data
def test_tomograms_star_of_relion5_relion4_and_warp() -> None:
    relion5 = read_tomograms(METADATA / "relion5_project" / "tilt_series.star")
    assert relion5[0].name == "220728_TS_01"
    assert (relion5[0].pixel_size_angstrom, relion5[0].binning) == (1.35, 8)
    assert relion5[0].unbinned_size_xyz == (4000, 4000, 3000)
    warp = read_tomograms(METADATA / "warp2_matching_tomograms.star")
    assert [tomogram.name for tomogram in warp[:2]] == ["TS_17.tomostar", "TS_32.tomostar"]
    assert warp[0].unbinned_size_xyz == (4400, 6000, 1000)
    assert warp[0].tomogram_path is None


# Sizes


@pytest.mark.parametrize("size", [(60, 64, 32), (64, 60, 24), (64, 32, 60)])
def test_a_tomogram_that_was_trimmed_or_turned_is_refused(tomograms_star: Path, size: tuple[int, int, int]) -> None:
    assert "not trimmed or rotated" in refuse(picked(size_xyz=size), tomograms_star=tomograms_star)


def test_what_is_stated_twice_must_agree(tomograms_star: Path) -> None:
    star = {"tomograms_star": tomograms_star}
    assert "--tilt-series-pixel-size says 1.35" in refuse(picked(), tilt_series_pixel_size_angstrom=1.35, **star)
    assert "--tomogram-size says 256 x 240 x 128" in refuse(picked(), tomogram_size_xyz=(256, 240, 128), **star)
    frames_of([picked()], FrameFacts(tilt_series_pixel_size_angstrom=2.5, tomogram_size_xyz=(256, 240, 127), **star))
    with pytest.raises(InputError, match="give one of"):
        FrameFacts(portal=Path(), **star)


@pytest.mark.parametrize(
    "facts",
    [
        {"tilt_series_pixel_size_angstrom": 0.0},
        {"tilt_series_pixel_size_angstrom": -1.0},
        {"tilt_series_pixel_size_angstrom": float("nan")},
        {"tomogram_size_xyz": (0, 1, 1)},
        {"binned_by_averaging": 0},
    ],
)
def test_impossible_numbers_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"must be (above zero|a whole number)"):
        FrameFacts(**facts)


def test_more_averaging_than_binning_is_refused() -> None:
    facts = {"tilt_series_pixel_size_angstrom": 2.5, "tomogram_size_xyz": (256, 240, 127)}
    assert "4 times as wide" in refuse(picked(), binned_by_averaging=8, **facts)
    frames_of([picked()], FrameFacts(binned_by_averaging=4, **facts))


def test_a_nominal_voxel_size_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tomograms.star"
    path.write_text(TOMOGRAMS.replace(" 2.5 4.0", " 2.503 4.0"))
    (note,) = frames_of([picked()], FrameFacts(tomograms_star=path)).notes
    assert "of 10 Å in place of 10.012 Å" in note


def test_without_a_tomogram_sizes_are_not_compared_and_that_is_told(tomograms_star: Path) -> None:
    frames = frames_of([PickedTomogram("TS_01")], FrameFacts(tomograms_star=tomograms_star))
    assert frames.by_run["TS_01"].voxel_size_angstrom is None
    assert "sizes were not compared" in frames.notes[0]


def test_without_facts_names_are_those_of_the_runs() -> None:
    frame = frames_of([picked()], FrameFacts(names={"TS_01": "mine"})).by_run["TS_01"]
    assert (frame.name, frame.pixel_size_angstrom, frame.unbinned_size_xyz) == ("mine", None, None)


# Warp


def warp_xml(folder: Path, name: str = "TS_01", change: Callable[[str], str] = str) -> Path:
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<TiltSeries VolumeDimensionsAngstrom="640, 600, 317.5">'
        '<Angles>0</Angles><OptionsCTF><Param Name="Voltage" Value="300" /></OptionsCTF>'
        '<CTF><Param Name="PixelSize" Value="2.5" /></CTF></TiltSeries>'
    )
    path = folder / f"{name}.xml"
    path.write_text(change(text))
    return path


def test_warp_xml_gives_tomostar_names_and_sizes(tmp_path: Path) -> None:
    warp_xml(tmp_path)
    warp_xml(tmp_path, "movie", lambda text: text.replace("TiltSeries", "Movie"))
    frame = frames_of([picked("TS_01_10.00Apx")], FrameFacts(warp_xml=tmp_path)).by_run["TS_01_10.00Apx"]
    assert (frame.name, frame.pixel_size_angstrom) == ("TS_01.tomostar", 2.5)
    assert frame.unbinned_size_xyz == (256, 240, 127)
    assert frame.optics is None


def test_warp_xml_before_its_ctf_knows_no_pixel_size(tmp_path: Path) -> None:
    path = warp_xml(tmp_path, change=lambda text: text.replace("OptionsCTF", "Other").replace('"2.5"', '"1.0"'))
    (tomogram,) = read_warp_tomograms(path)
    assert (tomogram.pixel_size_angstrom, tomogram.unbinned_size_xyz) == (None, None)
    facts = FrameFacts(warp_xml=path, tilt_series_pixel_size_angstrom=2.5, tomogram_size_xyz=(256, 240, 127))
    assert frames_of([picked()], facts).by_run["TS_01"].pixel_size_angstrom == 2.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:90], "not a whole XML file"),
        (lambda text: text.replace("TiltSeries", "Movie"), "is a <Movie>"),
        (lambda text: text.replace('"2.5"', '"wide"'), "not a number above zero"),
        (lambda text: text.replace("640, 600, 317.5", "640, 600"), "not three numbers"),
        (lambda text: text.replace("640, 600", "640, 0"), "not a number above zero"),
    ],
)
def test_warp_xml_that_does_not_do(tmp_path: Path, change: Callable[[str], str], words: str) -> None:
    assert words in refuse(picked(), warp_xml=warp_xml(tmp_path, change=change))


def test_no_warp_xml(tmp_path: Path) -> None:
    assert "does not exist" in refuse(picked(), warp_xml=tmp_path / "TS_01.xml")
    assert "no XML file of a tilt series" in refuse(picked(), warp_xml=tmp_path)


@needs_data
def test_real_warp_xml() -> None:
    (m,) = read_warp_tomograms(DATA / "tilt_series" / "warp_TS_1" / "TS_1.xml")
    assert (m.name, m.pixel_size_angstrom, m.unbinned_size_xyz) == ("TS_1.tomostar", 0.834, (4000, 5700, 1000))
    (fresh,) = read_warp_tomograms(DATA / "tilt_series" / "empiar10499_00254" / "xf_import_00254.xml")
    assert fresh.pixel_size_angstrom is None
    (old,) = read_warp_tomograms(METADATA / "TS_017" / "017.xml")
    assert (old.name, old.pixel_size_angstrom, old.unbinned_size_xyz) == ("017.tomostar", 1.971, None)


# The data portal


def portal_folder(folder: Path, **tomogram: Any) -> Path:
    """Write the two files of a run as the portal lays them out."""
    series = folder / "TiltSeries" / "100" / "tiltseries_metadata.json"
    volume = folder / "Reconstructions" / "VoxelSpacing10.000" / "Tomograms" / "100" / "tomogram_metadata.json"
    contents = {
        series: {"run_name": "TS_01", "pixel_spacing": 2.4},
        volume: {"run_name": "TS_01", "voxel_spacing": 10.0, "size": {"x": 64, "y": 60, "z": 32}, **tomogram},
    }
    for path, content in contents.items():
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return folder


def test_portal_metadata(tmp_path: Path) -> None:
    frame = frames_of([picked()], FrameFacts(portal=portal_folder(tmp_path))).by_run["TS_01"]
    assert frame.pixel_size_angstrom == 2.4
    assert frame.unbinned_size_xyz == pytest.approx((640 / 2.4, 600 / 2.4, 320 / 2.4))


def test_portal_takes_the_tomogram_that_was_picked(tmp_path: Path) -> None:
    portal_folder(tmp_path)
    other = tmp_path / "Reconstructions" / "VoxelSpacing20.000" / "tomogram_metadata.json"
    other.parent.mkdir()
    other.write_text(
        json.dumps(
            {"run_name": "TS_01", "voxel_spacing": 20.0, "size": {"x": 33, "y": 30, "z": 16}, "offset": {"x": 1}}
        )
    )
    (tomogram,) = read_portal_tomograms(tmp_path, [picked()])
    assert tomogram.unbinned_size_xyz == pytest.approx((640 / 2.4, 600 / 2.4, 320 / 2.4))
    (ambiguous,) = read_portal_tomograms(tmp_path, [])
    assert ambiguous.unbinned_size_xyz is None


@pytest.mark.parametrize(
    ("tomogram", "words"),
    [
        ({"offset": {"x": 10, "y": 0, "z": 0}}, "shifted or turned"),
        ({"affine_transformation_matrix": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "shifted or"),
        ({"voxel_spacing": 0}, "not a number above zero"),
        ({"size": None}, "has no 'size'"),
        ({"run_name": ""}, "has no 'run_name'"),
    ],
)
def test_portal_metadata_that_do_not_do(tmp_path: Path, tomogram: dict[str, Any], words: str) -> None:
    assert words in refuse(picked(), portal=portal_folder(tmp_path, **tomogram))


def test_portal_without_metadata(tmp_path: Path) -> None:
    assert "no tiltseries_metadata.json" in refuse(picked(), portal=tmp_path)
    assert "there is no folder" in refuse(picked(), portal=tmp_path / "absent")
    (tmp_path / "tiltseries_metadata.json").write_text("{")
    assert "not a whole JSON file" in refuse(picked(), portal=tmp_path)


@needs_data
def test_real_portal_metadata(tmp_path: Path) -> None:
    """The fixture of the portal's own tests says that its tomogram is shifted."""
    shutil.copytree(METADATA / "portal_metadata", tmp_path / "RUN1")
    assert "shifted or turned" in refuse(PickedTomogram("RUN1", 12.3, (980, 1016, 500)), portal=tmp_path)
    path = tmp_path / "RUN1" / "tomogram_metadata.json"
    content = {**json.loads(path.read_text()), "offset": {"x": 0, "y": 0, "z": 0}}
    path.write_text(json.dumps(content))
    frame = frames_of([PickedTomogram("RUN1", 12.3, (980, 1016, 500))], FrameFacts(portal=tmp_path)).by_run["RUN1"]
    assert frame.pixel_size_angstrom == 4.37
    assert frame.unbinned_size_xyz == pytest.approx((980 * 12.3 / 4.37, 1016 * 12.3 / 4.37, 500 * 12.3 / 4.37))


# Names that a particle file has


def test_names_in_a_particle_file_become_runs(tomograms_star: Path) -> None:
    def grid(run: str) -> PickedTomogram:
        return picked(run)

    frames = frames_of_names(["TS_01", "TS_09"], ["TS_01", "TS_02"], grid, FrameFacts(tomograms_star=tomograms_star))
    assert list(frames.by_name) == ["TS_01"]
    assert frames.by_name["TS_01"].unbinned_size_xyz == (256, 240, 127)
    assert frames.unknown == ("TS_09",)
    names = ["tomos/rec_TS_01.mrc", "TS_02.tomostar"]
    plain = frames_of_names(names, ["TS_01", "TS_02"], grid, FrameFacts())
    assert {name: frame.run for name, frame in plain.by_name.items()} == dict(
        zip(names, ["TS_01", "TS_02"], strict=True)
    )
    assert "tomos/rec_TS_01.mrc" in " ".join(plain.notes)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,8}", fullmatch=True)


@given(st.sets(NAMES, min_size=1, max_size=8), st.sampled_from(["", "rec_"]), st.sampled_from(["", "_Vol", "_9.98Apx"]))
def test_every_run_finds_its_own_tomogram_or_is_refused(names: set[str], before: str, after: str) -> None:
    tomograms = [KnownTomogram(name) for name in sorted(names)]
    runs = [f"{before}{name}{after}" for name in sorted(names)]
    try:
        matches = match_names(runs, tomograms, "tomograms.star")
    except InputError:
        assert len({core_name(name) for name in names}) < len(names) or set(runs) & names
        return
    assert [matches[run].tomogram.name for run in runs] == sorted(names)
