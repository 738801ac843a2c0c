"""What rules on lines say of RELION 3.1 is what RELION 3.1.3 does; its reader of STAR files is that of 4 and 5 too."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cryosiam.integrations.star.check.finding import Program, Severity
from cryosiam.integrations.star.check.report import check_star

from ....clients import client_program  # noqa: TID252 - tests are no package

LABELS = ("rlnOpticsGroup", "rlnOpticsGroupName", "rlnImagePixelSize", "rlnVoltage", "rlnSphericalAberration")
OPTICS = (
    "\ndata_optics\n\nloop_\n"
    + "".join(f"_{name} #{number}\n" for number, name in enumerate((*LABELS, "rlnAmplitudeContrast"), start=1))
    + "1 one 2.0 300.0 2.7 0.1\n"
)
HEAD = (
    "\ndata_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnImageName #4\n"
    "_rlnMicrographName #5\n_rlnOpticsGroup #6\n"
)
ROW = "{0}.0 20.0 30.0 {0}.mrc a.mrc 1\n"
ROWS = [ROW.format(number) for number in (1, 2, 3)]
FILES = {
    "sound": OPTICS + HEAD + "".join(ROWS),
    "blank line": OPTICS + HEAD + ROWS[0] + "\n" + ROWS[1] + ROWS[2],
    "short row": OPTICS + HEAD + ROWS[0] + "2.0 20.0 30.0\n",
    "long row": OPTICS + HEAD + ROWS[0].replace("\n", " 7\n"),
    "comment": OPTICS + HEAD + ROWS[0] + "# hello\n" + ROWS[1],
    "comment before": OPTICS + HEAD + "# hello\n" + "".join(ROWS),
    "comment behind": OPTICS + HEAD + "".join(ROWS) + "# hello\n",
    "column twice": OPTICS + HEAD.replace("rlnCoordinateY", "rlnCoordinateX") + ROWS[0],
    "glued": OPTICS + HEAD.replace(" #", "#") + "".join(ROWS),
    "windows": (OPTICS + HEAD + ROWS[0]).replace("\n", "\r\n"),
    "other group": OPTICS + HEAD + ROWS[0].replace(" 1\n", " 3\n"),
    "numbers out of order": OPTICS + HEAD.replace("#1", "#9") + "".join(ROWS),
}


@pytest.mark.parametrize("name", FILES)
def test_star_handler_does_what_is_said(write: Callable[..., Path], tmp_path: Path, name: str) -> None:
    program = client_program("relion_star_handler")
    path = write(FILES[name])
    report = check_star(path, Program.RELION31)
    options = ["--select", "rlnCoordinateX", "--minval", "-999", "--maxval", "999"]
    done = subprocess.run(
        [program, "--i", path.name, "--o", "out.star", *options],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == bool(report.counts[Severity.ERROR]), done.stdout + done.stderr
    if done.returncode == 0:
        kept = re.search(r"with (\d+) item", done.stdout)
        assert kept is not None
        lost = any(finding.rule == "blank-line-in-table" for finding in report.findings)
        assert (int(kept[1]) < 3) == lost


def test_text_is_read_as_zero(write: Callable[..., Path], tmp_path: Path) -> None:
    program = client_program("relion_star_handler")
    path = write(OPTICS + HEAD + ROWS[0].replace("1.0 ", "<NA> ", 1) + ROWS[1].replace("2.0 ", "nan ", 1))
    assert {"not-a-number", "not-finite"} <= {f.rule for f in check_star(path, Program.RELION31).findings}
    subprocess.run(
        [program, "--i", path.name, "--o", "out.star", "--select", "rlnCoordinateX", "--maxval", "0.5"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "out.star").read_text().count(".mrc 1") + (tmp_path / "out.star").read_text().count("a.mrc") >= 2
