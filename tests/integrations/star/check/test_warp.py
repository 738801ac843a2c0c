"""What is said of Warp is what Warp's rules, written down as an oracle, do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cryosiam.integrations.star.check.finding import Program, Severity
from cryosiam.integrations.star.check.report import check_star

from ....oracles import warp_star  # noqa: TID252 - tests are no package

HEAD = "\ndata_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4\n"
ROW = "TS_1.tomostar {0}.5 2.5 3.5\n"
ROWS = "".join(ROW.format(number) for number in (1, 2, 3))
OPTICS = "\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n1 300.0\n"
GROUPED = HEAD.replace("data_", "data_particles") + "_rlnOpticsGroup #5\n"
GROUPED_ROWS = ROWS.replace("\n", " 1\n")
FILES = {
    "sound": HEAD + ROWS,
    "blank line": HEAD + ROW.format(1) + "\n" + ROW.format(2) + ROW.format(3),
    "short row": HEAD + ROW.format(1) + "TS_1.tomostar 1.5\n" + ROW.format(2),
    "comment": HEAD + ROW.format(1) + "# here\n" + ROW.format(2) + ROW.format(3),
    "comment behind": HEAD + ROWS + "# here\n",
    "comment before": HEAD + "# here\n" + ROWS,
    "column twice": HEAD.replace("rlnCoordinateY", "rlnCoordinateX") + ROWS,
    "glued": HEAD.replace(" #", "#") + ROWS,
    "centred": HEAD.replace("rlnCoordinateX", "rlnCenteredCoordinateXAngst") + ROWS,
    "no name": HEAD.replace("rlnMicrographName", "rlnImageName") + ROWS,
    "windows": (HEAD + ROWS).replace("\n", "\r\n"),
    "text": HEAD + ROWS.replace("1.5", "<NA>"),
    "optics": OPTICS + GROUPED + GROUPED_ROWS,
    "optics without group": OPTICS + HEAD.replace("data_", "data_particles") + ROWS,
    "optics of other group": OPTICS + GROUPED + GROUPED_ROWS.replace(" 1\n", " 2\n"),
    "optics without particles": OPTICS + GROUPED.replace("particles", "picks") + GROUPED_ROWS,
    "shifts in Å": HEAD + "_rlnOriginXAngst #5\n" + ROWS.replace("\n", " 1.5\n"),
    "other name": HEAD + ROWS.replace(".tomostar", ".mrc"),
}


@pytest.mark.parametrize("name", FILES)
def test_check_agrees_with_the_oracle(write: Callable[..., Path], name: str) -> None:
    path = write(FILES[name])
    report = check_star(path, Program.WARP)
    stops = bool(report.counts[Severity.ERROR])
    try:
        particles = warp_star.read_particles(path, 10.0)
    except (warp_star.WarpError, KeyError):
        assert stops, [finding.says for finding in report.findings]
        return
    assert not stops, [finding.says for finding in report.findings]
    all_found = len(particles.of("TS_1.tomostar")) == 3
    assert all_found == (report.counts[Severity.WRONG] == 0)
