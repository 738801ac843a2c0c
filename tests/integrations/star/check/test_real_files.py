"""Every real STAR file gets a report or a true sentence, for every program."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosiam.errors import InputError
from cryosiam.integrations.star.check.finding import Program
from cryosiam.integrations.star.check.report import Report, check_star

DATA = Path(__file__).resolve().parents[5] / "shared" / "data" / "metadata"
FILES = sorted(path for path in DATA.rglob("*") if path.name.endswith((".star", ".star.gz"))) if DATA.is_dir() else []


@pytest.fixture(autouse=True)
def _data() -> None:
    if not FILES:
        pytest.skip(f"the real STAR files are not there ({DATA})")


def report_on(name: str, program: Program) -> Report:
    return check_star(DATA / name, program)


def rules(name: str, program: Program) -> set[str]:
    return {finding.rule for finding in report_on(name, program).findings}


@pytest.mark.parametrize("program", Program)
def test_every_file_gets_a_report_or_a_sentence(program: Program) -> None:
    for path in FILES:
        try:
            report = check_star(path, program)
        except InputError as error:
            sentence = str(error)
        else:
            sentence = None
        if sentence is not None:
            assert path.name in sentence
            assert "\n" not in sentence
            continue
        for finding in report.findings:
            assert finding.says
            assert "nan" not in finding.says.split()
        holds_particles = report.kind == "particles" and bool(report.particles)
        assert holds_particles or not report.is_fine or report.kind == "a list of tomograms", path


@pytest.mark.parametrize(
    ("name", "program", "rule"),
    [
        ("pytom_match_pick/picks_std.star", Program.RELION5, "picker-of-one-pixel"),
        ("pytom_match_pick/picks_std.star", Program.WARP, "no-corner-coordinates"),
        ("pytom_match_pick/picks_std.star", Program.SCIPION, "all-at-zero"),
        ("cylindra/relion5_class3d_run_it025_data.star", Program.RELION4, "centred-only"),
        ("cylindra/relion5_class3d_run_it025_data.star", Program.WARP, "subtomogram-angles"),
        ("warp2_particles_matching.star", Program.M, "unbinned-coordinates"),
        ("warp2_matching_tomograms.star", Program.RELION5, "dummy-tilt-series"),
        ("relion4.0_particles.star.gz", Program.M, "unbinned-coordinates"),
        ("relion3.1_optics2.star", Program.M, "mixed-pixel-sizes"),
        ("relion3.0_warp.star", Program.WARP, "no-tomostar-ending"),
        ("starfile_edge_cases/empty_loop.star", Program.RELION5, "no-rows"),
        ("starfile_edge_cases/rln3.1_data_style.star", Program.RELION31, "images-behind-another-block"),
        ("chlamy/ps2.star.gz", Program.RELION31, "decimals-cut"),
    ],
)
def test_what_is_known_of_real_files(name: str, program: Program, rule: str) -> None:
    assert rule in rules(name, program)


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("pytom/subtomo_format.star", Program.WARP),
        ("cylindra/relion5_class3d_run_it025_data.star", Program.RELION5),
        ("relion3.1_optics.star", Program.RELION31),
        ("pytom/subtomo_format.star", Program.M),
    ],
)
def test_files_that_their_own_program_takes(name: str, program: Program) -> None:
    report = report_on(name, program)
    assert report.is_fine, [finding.says for finding in report.findings]
