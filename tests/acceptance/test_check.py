"""``cryosiam check`` and ``cryosiam convert`` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "cryosiam"
PARTICLES = (
    "\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n_rlnCenteredCoordinateYAngst #3\n"
    "_rlnCenteredCoordinateZAngst #4\n_rlnTomoParticleName #5\nTS_1 10.5 20.5 30.5 TS_1/1\n"
    "TS_1 -10.5 -20.5 -30.5 TS_1/2\n"
)
LABELS = ("rlnTomoName", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnTomoTiltSeriesPixelSize")
LABELS += ("rlnTomoTomogramBinning", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
TOMOGRAMS = (
    "\ndata_global\n\nloop_\n"
    + "".join(f"_{label} #{number}\n" for number, label in enumerate(LABELS, start=1))
    + "TS_1 300 2.7 0.1 2.5 4 400 400 200\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "particles.star").write_text(PARTICLES)
    (tmp_path / "tomograms.star").write_text(TOMOGRAMS)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *words], cwd=folder, capture_output=True, text=True)


def test_sound_file(folder: Path) -> None:
    done = run(folder, "check", "particles.star", "--for", "relion5", "--tomograms", "tomograms.star")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "errors 0, wrong results 0" in done.stdout


def test_trap_is_told_and_mended(folder: Path) -> None:
    words = ("--tomograms", "tomograms.star", "--json", "report.json")
    done = run(folder, "check", "particles.star", "--for", "warp", *words)
    assert done.returncode == 1
    assert "rlnCoordinateX" in done.stdout
    report = json.loads((folder / "report.json").read_text())
    assert report["fine"] is False
    assert report["particles"] == 2
    mend = next(f["mend"] for f in report["findings"] if f["rule"] == "no-corner-coordinates")
    assert mend in done.stdout.replace("\n", " ")

    mended = run(folder, *mend.split()[1:])
    assert mended.returncode == 0, mended.stderr
    again = run(folder, "check", "warp/particles.star", "--for", "warp", "--tomograms", "tomograms.star")
    assert again.returncode == 0, again.stdout


@pytest.mark.parametrize("program", ["relion5", "relion4", "relion31", "warp", "m", "scipion"])
def test_converted_files_are_taken(folder: Path, program: str) -> None:
    out = folder / program
    words = ("--to", program, "--tomograms-star", "tomograms.star", "--object", "ribosome", "--out", str(out))
    files = () if program != "relion31" else ("--tomogram-files", "tomograms/{name}.mrc")
    done = run(folder, "convert", "particles.star", *words, *files)
    assert done.returncode == 0, done.stderr
    star = next(path for path in sorted(out.rglob("*ribosome.star")))
    report = run(folder, "check", str(star), "--for", program, "--tomograms", "tomograms.star")
    if program == "relion4":  # the tomograms.star is one of RELION 5, which RELION 4 does not take
        assert "wrong results 0" in report.stdout
    else:
        assert report.returncode == 0, report.stdout


def test_no_file_and_no_star_file(folder: Path) -> None:
    (folder / "text.star").write_text("hello\n")
    for name, words in (("absent.star", "there is no file absent.star"), ("text.star", "text.star")):
        done = run(folder, "check", name, "--for", "relion5")
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--json", "absent/report.json"), "there is no folder absent"),
        (("--json", "."), "is a folder"),
        (("--tomogram", "absent.mrc"), "there is no file absent.mrc"),
        (("--tomograms-star", "absent.star"), "there is no file absent.star"),
    ],
)
def test_options_that_cannot_be_used(folder: Path, words: tuple[str, ...], sentence: str) -> None:
    done = run(folder, "check", "particles.star", "--for", "relion5", *words)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_has_examples(folder: Path) -> None:
    done = run(folder, "check", "--help")
    assert "cryosiam check particles.star --for relion5" in done.stdout.replace("\n", " ").replace("  ", " ")
