"""Every rule finds its trap, in a file made for it, and says it of the program it was asked about."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cryosiam.integrations.star.check.finding import Program, Severity
from cryosiam.integrations.star.check.report import RULES, Report, check_star

SIZE = 400
PIXEL_SIZE = 2.5
OPTICS = {
    "rlnOpticsGroup": [1],
    "rlnOpticsGroupName": ["one"],
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
    "rlnTomoTiltSeriesPixelSize": [PIXEL_SIZE],
}
CENTRED = {f"rlnCenteredCoordinate{axis}Angst": [10.5, -20.25] for axis in "XYZ"}
CORNER = {f"rlnCoordinate{axis}": [100.0, 120.0] for axis in "XYZ"}
ANGLES = {"rlnAngleRot": [10.0, 20.0], "rlnAngleTilt": [30.0, 40.0], "rlnAnglePsi": [50.0, 60.0]}
SUBTOMOGRAM = {f"rlnTomoSubtomogram{name.removeprefix('rlnAngle')}": values for name, values in ANGLES.items()}
NAMES = {"rlnTomoName": ["TS_1", "TS_1"]}
WARP_NAMES = {"rlnMicrographName": ["TS_1.tomostar", "TS_1.tomostar"]}
PARTICLE_NAMES = {"rlnTomoParticleName": ["TS_1/1", "TS_1/2"]}
GROUP = {"rlnOpticsGroup": [1, 1]}

RELION5 = {"optics": OPTICS, "particles": {**NAMES, **PARTICLE_NAMES, **GROUP, **CENTRED}}
RELION4 = {"optics": OPTICS, "particles": {**NAMES, **PARTICLE_NAMES, **GROUP, **CORNER}}
RELION31 = {"": CORNER}
IMAGES = {"rlnImageName": ["a.mrc", "b.mrc"], "rlnMicrographName": ["TS_1.mrc", "TS_1.mrc"]}
WARP = {"": {**WARP_NAMES, **CORNER}}
M = {
    "": {**WARP_NAMES, **CORNER, **ANGLES, "rlnRandomSubset": [1, 2], "rlnMagnification": [10000, 10000]}
    | {"rlnDetectorPixelSize": [10.0, 10.0]}
}
SCIPION = {
    "particles": {**NAMES, "rlnTomoParticleId": [1, 2], **CORNER, "rlnDetectorPixelSize": [10.0, 10.0]},
}
TOMOGRAMS: dict[str, dict[str, list[Any]]] = {
    "global": {
        "rlnTomoName": ["TS_1"],
        "rlnTomoTiltSeriesStarFile": ["tilt_series/TS_1.star"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnTomoTiltSeriesPixelSize": [PIXEL_SIZE],
        "rlnTomoTomogramBinning": [4],
        "rlnTomoSizeX": [SIZE],
        "rlnTomoSizeY": [SIZE],
        "rlnTomoSizeZ": [SIZE],
    }
}


def without(blocks: dict[str, Any], block: str, *columns: str) -> dict[str, Any]:
    return {**blocks, block: {name: cells for name, cells in blocks[block].items() if name not in columns}}


def having(blocks: dict[str, Any], block: str, **columns: list[Any]) -> dict[str, Any]:
    return {**blocks, block: {**blocks[block], **columns}}


SERIES4 = {
    "global": {name: cells for name, cells in TOMOGRAMS["global"].items() if name not in ("rlnTomoTiltSeriesStarFile",)}
    | {"rlnTomoTiltSeriesName": ["stack.mrc"]}
}
LIST = "\ndata_\n\nloop_\n_rlnTomoName #1\n_rlnTomoImportParticleFile #2\nTS_1 a.star\nTS_2 b.star\n"
ONE = "\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4\n"
TWO_CORNER = {f"rlnCoordinate{axis}": [1.0, 2.0] for axis in "XYZ"}
MANY = 30


@dataclass(frozen=True)
class Case:
    """A file that has one trap, and the rule that must find it."""

    rule: str
    program: Program
    content: Any
    tomograms: Any = None
    beside: dict[str, Any] = field(default_factory=dict)


R5, R4, R31, W, MM, S = Program
CASES = [
    Case("windows-line-ends", R5, "\r\n".join(f"{ONE}TS_1 1.5 2.5 3.5\n".split("\n"))),
    Case("blank-line-in-table", R4, f"{ONE}TS_1 1.5 2.5 3.5\n\nTS_1 4.5 5.5 6.5\n"),
    Case("blank-line-in-table", W, f"{ONE}TS_1.tomostar 1.5 2.5 3.5\n\nTS_1.tomostar 4.5 5.5 6.5\n"),
    Case("ragged-row", R31, f"{ONE}TS_1 1.5 2.5 3.5\nTS_1 4.5 5.5\n"),
    Case("comment-in-table", R5, f"{ONE}TS_1 1.5 2.5 3.5\n# here\nTS_1 4.5 5.5 6.5\n"),
    Case("column-twice", W, ONE.replace("_rlnCoordinateY", "_rlnCoordinateX") + "TS_1.tomostar 1.5 2.5 3.5\n"),
    Case("column-number", W, ONE.replace("#2", "#9").replace("#3", "#2") + "TS_1.tomostar 1.5 2.5 3.5\n"),
    Case("label-glued-to-number", R31, ONE.replace(" #", "#") + "TS_1 1.5 2.5 3.5\n"),
    Case("quoted-cells", W, f'{ONE}"TS 1.tomostar" 1.5 2.5 3.5\n'),
    Case("no-rows", S, ONE),
    Case("not-particles", MM, {"postprocess": {"rlnResolution": [0.1]}}),
    Case("set-incomplete", R5, {"": {"rlnTomoParticlesFile": "p.star"}}),
    Case("set-names-no-file", R5, {"": {"rlnTomoParticlesFile": "gone.star", "rlnTomoTomogramsFile": "gone2.star"}}),
    Case(
        "set-names-tilt-series",
        R5,
        {"": {"rlnTomoParticlesFile": "p.star", "rlnTomoTomogramsFile": "tilt_series.star"}},
        beside={"p.star": RELION5, "tilt_series.star": without(TOMOGRAMS, "global", "rlnTomoSizeX")},
    ),
    Case("list-for-relion", W, LIST),
    Case("import-list-incomplete", R5, LIST.replace("rlnTomoName", "rlnOther")),
    Case("import-file", R5, LIST, beside={"a.star": RELION5, "b.star": RELION5}),
    Case("import-name-differs", R5, LIST, beside={"a.star": f"{ONE}TS_1 1 2 3\n", "b.star": f"{ONE}TS_3 1 2 3\n"}),
    Case(
        "import-columns-differ",
        R5,
        LIST,
        beside={
            "a.star": f"{ONE}TS_1 1 2 3\n",
            "b.star": f"{ONE}_rlnClassNumber #5\nTS_2 1 2 3 1\n",
        },
    ),
    Case("no-tomogram-name", R4, without(RELION4, "particles", "rlnTomoName")),
    Case("unknown-names", R5, having(RELION5, "particles", rlnTomoName=["TS_1", "TS_9"]), TOMOGRAMS),
    Case("no-known-name", R5, having(RELION5, "particles", rlnTomoName=["A", "B"]), TOMOGRAMS),
    Case("name-with-space", R5, f'{ONE}"TS 1" 1.5 2.5 3.5\n'),
    Case("numeric-names", R5, having(RELION5, "particles", rlnTomoName=["001", "002"])),
    Case("first-name-numeric", S, having(SCIPION, "particles", rlnTomoName=["001", "002"])),
    Case("no-block-particles", R5, {"": RELION5["particles"]}),
    Case("no-coordinates", R5, {"particles": {**NAMES, "rlnCoordinateX": [1.5, 2.5]}}),
    Case("corner-coordinates", R5, RELION4),
    Case("two-coordinates", R5, having(RELION5, "particles", **CORNER), TOMOGRAMS),
    Case("sizes-missing", R5, RELION5, without(TOMOGRAMS, "global", "rlnTomoSizeX")),
    Case("odd-size", R5, RELION5, having(TOMOGRAMS, "global", rlnTomoSizeX=[401])),
    Case(
        "picker-of-one-pixel",
        R5,
        having(RELION5, "particles", rlnLCCmax=[0.5, 0.4], rlnCutOff=[0.1, 0.1], rlnSearchStd=[0.1, 0.1]),
    ),
    Case("no-particle-names", R5, without(RELION5, "particles", "rlnTomoParticleName")),
    Case("particle-name-twice", R5, having(RELION5, "particles", rlnTomoParticleName=["TS_1/1", "TS_1/1"])),
    Case("optics-first", R5, RELION5),
    Case("import-wildcard", R5, without(RELION5, "particles", "rlnTomoName")),
    Case("centred-only", R4, RELION5),
    Case("first-block-not-particles", R4, RELION4),
    Case("tomograms-of-relion5", R4, RELION4, TOMOGRAMS),
    Case("tomograms-of-relion4", R5, RELION5, SERIES4),
    Case("dummy-tilt-series", R5, RELION5, having(SERIES4, "global", rlnTomoTiltSeriesName=["dummy_tiltseries.mrc"])),
    Case("no-voxel-coordinates", R31, {"": CENTRED}),
    Case("decimals-cut", R31, {"": {f"rlnCoordinate{axis}": [1.9, 2.0] for axis in "XYZ"}}),
    Case("no-image-pixel-size", R31, having(RELION4, "particles", **IMAGES)),
    Case("coordinates-behind-optics", R31, {"optics": OPTICS, "particles": CORNER}),
    Case("many-tomograms-in-one", R31, {"": {**CORNER, "rlnMicrographName": ["a.mrc", "b.mrc"]}}),
    Case("table-of-relion30", R31, {"": {**CORNER, **IMAGES}}),
    Case(
        "stacks-of-tilt-images",
        R4,
        {"general": {"rlnTomoSubTomosAre2DStacks": 1}, **RELION4},
    ),
    Case("images-behind-another-block", R31, {"a": {"rlnFoo": [1]}, "b": {**CORNER, **IMAGES}}),
    Case("no-corner-coordinates", W, RELION5),
    Case("no-tomostar-ending", W, {"": {**NAMES, **CORNER}}),
    Case("two-names", W, {"": {**WARP_NAMES, **NAMES, **CORNER}}),
    Case("optics-without-particles", W, {"optics": OPTICS, "picks": {**WARP_NAMES, **CORNER, **GROUP}}),
    Case("first-table", W, {"optics": OPTICS, "particles": {**WARP_NAMES, **CORNER, **GROUP}}),
    Case("particles-behind-another-table", W, {"a": {"rlnFoo": [1]}, "b": WARP[""]}),
    Case("normalised-coordinates", W, {"": {**WARP_NAMES, **{name: [0.25, 0.5] for name in CORNER}}}),
    Case("coords-angpix", W, having(WARP, "", rlnPixelSize=[10.0, 10.0])),
    Case("scores-and-classes", W, having(WARP, "", rlnAutopickFigureOfMerit=[0.5, 0.6])),
    Case("native-m", MM, {"": {name: [1.5, 2.5] for name in ("wrpCoordinateX1", "wrpCoordinateY1", "wrpAngleRot1")}}),
    Case("no-pixel-size", MM, without(M, "", "rlnMagnification", "rlnDetectorPixelSize")),
    Case("no-shift-pixel-size", MM, without(M, "", "rlnMagnification", "rlnDetectorPixelSize")),
    Case(
        "unbinned-coordinates",
        MM,
        {"optics": {**OPTICS, "rlnImagePixelSize": [10.0]}, "particles": {**WARP_NAMES, **CORNER, **ANGLES, **GROUP}},
    ),
    Case("mixed-pixel-sizes", MM, having(M, "", rlnDetectorPixelSize=[10.0, 5.0])),
    Case("no-z", MM, without(M, "", "rlnCoordinateZ")),
    Case("no-half-sets", MM, without(M, "", "rlnRandomSubset")),
    Case("all-at-zero", S, {"particles": {**NAMES, "rlnTomoParticleId": [1, 2], **CENTRED}}),
    Case("no-particle-id", S, without(SCIPION, "particles", "rlnTomoParticleId")),
    Case("micrograph-name", S, having(SCIPION, "particles", **WARP_NAMES)),
    Case("sampling-rate", S, without(SCIPION, "particles", "rlnDetectorPixelSize")),
    Case("angles-of-the-other-reader", S, having(SCIPION, "particles", **SUBTOMOGRAM)),
    Case(
        "angles-of-the-other-reader",
        S,
        having(without(SCIPION, "particles", "rlnTomoParticleId"), "particles", **ANGLES),
    ),
    Case("optics-without-pixel-size", R5, without(RELION5, "optics", "rlnTomoTiltSeriesPixelSize")),
    Case("optics-clash", R5, having(RELION5, "optics", rlnVoltage=[200.0]), TOMOGRAMS),
    Case(
        "tomograms-without-optics", R5, {"particles": RELION5["particles"]}, without(TOMOGRAMS, "global", "rlnVoltage")
    ),
    Case("no-optics", R5, {"particles": RELION5["particles"]}),
    Case("no-optics-group", R5, without(RELION5, "particles", "rlnOpticsGroup")),
    Case("unknown-optics-group", R4, having(RELION4, "particles", rlnOpticsGroup=[1, 3])),
    Case(
        "optics-groups-not-in-order",
        R5,
        {**RELION5, "optics": {name: [*cells, *cells] for name, cells in OPTICS.items()} | {"rlnOpticsGroup": [2, 1]}},
    ),
    Case("pixel-size-clash", R5, having(RELION5, "particles", rlnTomoTiltSeriesPixelSize=[5.0, 5.0]), TOMOGRAMS),
    Case("not-a-number", W, having(WARP, "", rlnCoordinateX=["<NA>", 2.5])),
    Case("not-finite", R5, having(RELION5, "particles", rlnAutopickFigureOfMerit=["nan", 0.5])),
    Case("first-row-whole-number", S, having(SCIPION, "particles", rlnCoordinateX=[100, 120.5])),
    Case("subtomogram-angles", W, having(WARP, "", **SUBTOMOGRAM)),
    Case("angles-incomplete", W, having(WARP, "", rlnAngleRot=[1.5, 2.5])),
    Case("angles-missing", MM, without(M, "", *ANGLES)),
    Case("some-unturned", W, having(WARP, "", rlnAngleRot=[0, 1.5], rlnAngleTilt=[0, 2.5], rlnAnglePsi=[0, 3.5])),
    Case(
        "tilt-prior",
        R5,
        having(RELION5, "particles", **SUBTOMOGRAM, rlnAngleTilt=[90, 90], rlnAngleTiltPrior=[90, 90]),
    ),
    Case("origins-without-pixel-size", W, having(WARP, "", rlnOriginXAngst=[1.5, 2.5])),
    Case(
        "origins-of-other-pixels",
        W,
        {
            "optics": {**OPTICS, "rlnImagePixelSize": [10.0]},
            "particles": {**WARP_NAMES, **CORNER, **GROUP, "rlnOriginXAngst": [1.5, 2.5]},
        },
    ),
    Case("origins-ignored", R4, having(RELION4, "particles", rlnOriginXAngst=[1.5, 2.5])),
    Case("classes-overwritten", R5, having(RELION5, "particles", rlnClassNumber=[1, 2])),
    Case("particle-twice", R5, having(RELION5, "particles", **{name: [1.5, 1.5] for name in CENTRED})),
    Case("place-twice", R5, having(RELION5, "particles", **{name: [1.5, 1.5] for name in CENTRED}, **ANGLES)),
    Case("outside", R4, having(RELION4, "particles", rlnCoordinateX=[100.0, 500.0]), SERIES4),
]
GEOMETRY_CASES = [
    Case(
        "wrong-unit",
        R5,
        {
            "particles": {
                "rlnTomoName": ["TS_1"] * MANY,
                **{f"rlnCenteredCoordinate{axis}Angst": [300 + 20 * n for n in range(MANY)] for axis in "XYZ"},
            }
        },
        TOMOGRAMS,
    ),
    Case(
        "crowded",
        R4,
        {
            "particles": {
                "rlnTomoName": ["TS_1"] * MANY,
                **{f"rlnCoordinate{a}": [3.0 * n for n in range(MANY)] for a in "XYZ"},
            }
        },
        SERIES4,
    ),
    Case(
        "unit-to-tell",
        W,
        {
            "": {
                "rlnTomoName": ["TS_1.tomostar"] * MANY,
                **{f"rlnCoordinate{a}": [100 + 10.0 * n for n in range(MANY)] for a in "XYZ"},
            }
        },
        TOMOGRAMS,
    ),
]
SOUND = [(R5, RELION5), (R4, RELION4), (R31, RELION31), (W, WARP), (MM, M), (S, SCIPION)]
BY_DENSITY = {"density-elsewhere", "density-beside", "density-one-pixel", "tomogram-of-other-size"}


def report_on(write: Callable[..., Path], case: Case) -> Report:
    for name, content in case.beside.items():
        write(content, name)
    tomograms = None if case.tomograms is None else write(case.tomograms, "tomograms.star")
    return check_star(write(case.content), case.program, tomograms)


@pytest.mark.parametrize("case", CASES + GEOMETRY_CASES, ids=lambda case: f"{case.rule}-{case.program}")
def test_rule_finds_its_trap(write: Callable[..., Path], case: Case) -> None:
    report = report_on(write, case)
    found = [finding for finding in report.findings if finding.rule == case.rule]
    assert found, [finding.rule for finding in report.findings]
    rule = next(rule for rule in RULES if rule.name == case.rule)
    assert found[0].severity is rule.effects[case.program].severity
    assert found[0].program.label in found[0].says
    assert found[0].says.endswith(".")
    assert found[0].mend
    assert found[0].source


def test_every_rule_has_a_case() -> None:
    tested = {case.rule for case in CASES + GEOMETRY_CASES} | BY_DENSITY | {"compressed"}
    assert {rule.name for rule in RULES} == tested
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("program", "content"), SOUND)
def test_sound_files_are_fine(write: Callable[..., Path], program: Program, content: Any) -> None:
    report = check_star(write(content), program)
    assert report.is_fine, [finding.says for finding in report.findings]
    assert report.particles == 2


def test_packed_file(tmp_path: Path, write: Callable[..., Path]) -> None:
    packed = tmp_path / "particles.star.gz"
    packed.write_bytes(gzip.compress(write(RELION5).read_bytes()))
    assert check_star(packed, R5).findings[0].rule == "compressed"


def test_optimisation_set_leads_to_its_particles(write: Callable[..., Path]) -> None:
    write(having(RELION5, "optics", rlnVoltage=[200.0]), "p.star")
    write(TOMOGRAMS, "tomograms.star")
    path = write({"": {"rlnTomoParticlesFile": "p.star", "rlnTomoTomogramsFile": "tomograms.star"}}, "set.star")
    report = check_star(path, R5)
    clash = next(finding for finding in report.findings if finding.rule == "optics-clash")
    assert clash.file.name == "p.star"
    assert clash.row == 1
    assert report.particles == 2


def test_import_list_leads_to_its_files(write: Callable[..., Path]) -> None:
    for name, tomogram in (("a", "TS_1"), ("b", "TS_2")):
        write(f"{ONE}{tomogram} 1.5 2.5 3.5\n{tomogram} <NA> 2.5 3.5\n", f"{name}.star")
    report = check_star(write(LIST, "list.star"), R5)
    assert report.particles == 4
    assert [(f.rule, f.file.name, f.row) for f in report.findings] == [
        ("not-a-number", "a.star", 2),
        ("not-a-number", "b.star", 2),
    ]


def test_a_block_that_the_program_does_not_read_is_left_alone(write: Callable[..., Path]) -> None:
    text = "\ndata_other\n\nloop_\n_a #1\n_b #2\n1 2\n# a comment\n3 4\n" + f"{ONE}TS_1 1.5 2.5 3.5\n"
    assert "comment-in-table" not in {finding.rule for finding in check_star(write(text), R4).findings}


def test_worst_comes_first(write: Callable[..., Path]) -> None:
    report = check_star(write(having(RELION5, "particles", rlnAutopickFigureOfMerit=["nan", 1.5])), W)
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=list(Severity).index)


def test_mends_move_the_right_way(write: Callable[..., Path]) -> None:
    pytom = having(RELION5, "particles", rlnLCCmax=[0.5, 0.4], rlnCutOff=[0.1, 0.1], rlnSearchStd=[0.1, 0.1])
    far = next(f for f in check_star(write(pytom), R5).findings if f.rule == "picker-of-one-pixel")
    assert far.mend.endswith("--add_to -2.5")
    tomograms = write(SERIES4, "tomograms.star")
    low = next(f for f in check_star(write(RELION4), R5, tomograms).findings if f.rule == "tomograms-of-relion4")
    assert low.mend.endswith("--add_to 1")
