"""Our External job, run as RELION runs it: what RELION appends, how the job ends, and what it makes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile

from ..clients import client_program, run_client  # noqa: TID252 - tests are no package
from .conftest import COMMAND
from .relion_project import SMALL_SHAPE, RelionProject

JOB = "External/job007/"
TOMOGRAMS = "Tomograms/job006/tomograms.star"
FINISHED, FAILED, ABORTED = 2, 3, 4
"""Status of a job in RELION 3.1 (pipeliner.h)."""
EXITS = ("RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE", "RELION_JOB_EXIT_ABORTED")


@pytest.fixture
def project(tmp_path: Path, ball_volume: Any, monkeypatch: pytest.MonkeyPatch) -> RelionProject:
    """Return a RELION project whose next job is number 7; RELION and our command run in its folder."""
    made = RelionProject(tmp_path / "project", ball_volume, ("TS_01", "TS_02"), SMALL_SHAPE)
    counter = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 7\n\n"
    (made.folder / "default_pipeline.star").write_text(counter)
    monkeypatch.chdir(made.folder)
    return made


def nodes(job: str = JOB) -> dict[str, tuple[int, str]]:
    """Return the type of every output node, as number and as label."""
    table = starfile.read(Path(job) / "RELION_OUTPUT_NODES.star", always_dict=True)["output_nodes"]
    kinds = zip(table["rlnPipeLineNodeType"], table["rlnPipeLineNodeTypeLabel"], strict=True)
    return dict(zip(table["rlnPipeLineNodeName"], kinds, strict=True))


def ends(job: str = JOB) -> list[str]:
    return [name for name in EXITS if (Path(job) / name).exists()]


def test_takes_all_that_relion_appends(project: RelionProject, weights: Path, call: Any) -> None:
    result = call(
        *("relion-job", "--o", JOB, "--in_movies", "--in_mics", TOMOGRAMS, "--in_mask", "mask.mrc"),
        *("--threshold", "--weights", weights, "--my_label", "5", "--low_pass=", "--j", "1"),
        *("--pipeline_control", JOB),
    )
    assert result.returncode == 0, result.stderr
    assert ends() == ["RELION_JOB_EXIT_SUCCESS"]
    assert "--in_mask is not used" in result.stdout
    assert "--my-label is not a setting of this job" in result.stdout
    assert nodes() == {
        f"{JOB}{name}": kind
        for name, kind in {
            **dict.fromkeys(
                ("particles.star", "large.star", "small.star"), (3, "ParticleGroupMetadata.star.relion.tomo")
            ),
            **dict.fromkeys(
                ("optimisation_set.star", "large_optimisation_set.star", "small_optimisation_set.star"),
                (50, "TomoOptimisationSet.star.relion.tomo"),
            ),
            "logfile.pdf": (13, "LogFile.pdf.relion"),
        }.items()
    }
    assert all(Path(name).is_file() for name in nodes())
    chosen = starfile.read(Path(JOB) / "small_optimisation_set.star")
    assert chosen == {"rlnTomoParticlesFile": f"{JOB}small.star", "rlnTomoTomogramsFile": TOMOGRAMS}
    assert Path(JOB, "logfile.pdf").read_bytes().startswith(b"%PDF")
    every = starfile.read(Path(JOB) / "particles.star")["particles"]
    small = starfile.read(Path(JOB) / "small.star")["particles"]
    assert set(every["rlnTomoName"]) == {"TS_01", "TS_02"}
    assert set(small["cryosiamClassName"]) == {"small"}
    assert set(small["rlnClassNumber"]) == {2}
    assert len(every) == sum(len(places) for places in project.truth.values())


def test_second_run_makes_again_what_relion_moved_away(project: RelionProject, weights: Path, call: Any) -> None:
    words = ("relion-job", "--o", JOB, "--in_tomograms", TOMOGRAMS, "--weights", weights)
    assert call(*words).returncode == 0
    first = {name: Path(name).read_bytes() for name in nodes() if name.endswith(".star")}
    (Path(JOB) / EXITS[0]).rename(Path(JOB) / EXITS[1])
    # pipeliner.cpp, runJob: before a job is continued, its output nodes are moved away.
    for name in nodes():
        Path(name).rename(f"{name}.old")
    again = call(*words, "--continue")
    assert again.returncode == 0
    assert "TS_01: up to date" in again.stdout
    assert {name: Path(name).read_bytes() for name in first} == first
    assert ends() == ["RELION_JOB_EXIT_SUCCESS"]


def test_a_species_no_longer_picked_leaves_no_file(project: RelionProject, weights: Path, call: Any) -> None:
    words = ("relion-job", "--o", JOB, "--tomograms", TOMOGRAMS, "--weights", weights)
    assert call(*words).returncode == 0
    assert Path(JOB, "large.star").exists()
    assert call(*words, "--objects", "small", "--runs", "TS_01").returncode == 0
    assert not Path(JOB, "large.star").exists()
    assert not any("large" in name for name in nodes())


def test_one_bad_tomogram_fails_the_job_but_keeps_the_others(project: RelionProject, weights: Path, call: Any) -> None:
    project.write_volume("rec_TS_02", np.ones(project.shape, np.float32))
    result = call("relion-job", "--o", JOB, "--tomograms", TOMOGRAMS, "--weights", weights)
    assert result.returncode == 1
    assert "TS_02" in result.stderr
    assert ends() == ["RELION_JOB_EXIT_FAILURE"]
    assert f"{JOB}particles.star" in nodes()
    assert set(starfile.read(Path(JOB) / "particles.star")["particles"]["rlnTomoName"]) == {"TS_01"}


def test_words_of_relion4_in_a_project_of_relion4(project: RelionProject, weights: Path, call: Any) -> None:
    project.write_star({}, ("rlnTomoTiltSeriesStarFile", "rlnTomoTomogramBinning"))
    result = call("relion-job", "--o", JOB, "--tomograms", TOMOGRAMS, "--weights", weights, "--runs", "TS_01")
    assert result.returncode == 0, result.stderr
    assert nodes()[f"{JOB}particles.star"] == (3, "Particles.star.relion.tomo")
    assert "rlnCoordinateX" in starfile.read(Path(JOB) / "particles.star", always_dict=True)["particles"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--in_mics", "nothing.star"), "there is no file nothing.star"),
        ((), "no tomograms were given"),
        (("--in_mics", TOMOGRAMS, "--threshold", "much"), "--threshold 'much' cannot be read as a number"),
        (("--in_mics", TOMOGRAMS, "--contrast", "grey"), "auto, dark or bright"),
        (("--in_mics", TOMOGRAMS, "--gpu", "first"), "the number of a GPU"),
        (("--in_mics", TOMOGRAMS, "--nothing_else", "perhaps"), "Yes or No"),
        (("--in_mics", TOMOGRAMS, "--j", "many"), "--j 'many' is not a number of threads"),
        (("--in_mics", TOMOGRAMS, "--threshold", "1"), "no particles were found that score enough"),
    ],
)
def test_failure_is_told_to_relion_and_to_the_user(
    project: RelionProject, weights: Path, call: Any, words: tuple[str, ...], said: str
) -> None:
    result = call("relion-job", "--o", JOB, *words, "--weights", weights)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert ends() == ["RELION_JOB_EXIT_FAILURE"]


def test_a_bug_is_a_failure_with_its_trace(project: RelionProject, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("cryosiam.cli.compose.compose", broken)
    result = call("relion-job", "--o", JOB, "--in_mics", TOMOGRAMS)
    assert result.returncode == 1
    assert "RuntimeError: broken" in result.stderr
    assert ends() == ["RELION_JOB_EXIT_FAILURE"]


def test_prints_the_job_that_lies_in_the_examples(call: Any) -> None:
    ready = Path(__file__).parents[2] / "examples" / "relion" / "job.star"
    assert call("relion-job", "--job-star").stdout == ready.read_text()


def test_without_a_job_folder(project: RelionProject, call: Any) -> None:
    result = call("relion-job", "--in_mics", TOMOGRAMS)
    assert result.returncode == 1
    assert "--o External/job007/" in result.stderr


def test_job_folder_that_cannot_be_written(project: RelionProject, call: Any) -> None:
    (project.folder / "External").write_text("a file")
    result = call("relion-job", "--o", JOB, "--in_mics", TOMOGRAMS)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_an_old_request_to_stop_does_not_stop_a_new_run(project: RelionProject, weights: Path, call: Any) -> None:
    Path(JOB).mkdir(parents=True)
    request = Path(JOB, "RELION_JOB_ABORT_NOW")
    request.touch()
    os.utime(request, (1, 1))
    Path(JOB, "job.star").touch()
    assert call("relion-job", "--o", JOB, "--in_mics", TOMOGRAMS, "--weights", weights).returncode == 0
    assert not request.exists()
    assert ends() == ["RELION_JOB_EXIT_SUCCESS"]


def start(weights: Path) -> subprocess.Popen[str]:
    """Start the job as a shell starts background jobs, with SIGINT ignored, and wait for its first stage."""
    process = subprocess.Popen(
        [COMMAND, "relion-job", "--o", JOB, "--in_mics", TOMOGRAMS, "--weights", weights, "--j", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout is not None
    assert "check" in process.stdout.readline()
    return process


def by_file(process: subprocess.Popen[str]) -> None:
    Path(JOB, "RELION_JOB_ABORT_NOW").touch()


def by_signal(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("ask", [by_file, by_signal])
def test_stops_within_seconds_and_goes_on_later(
    tmp_path: Path,
    ball_volume: Any,
    weights: Path,
    cryosiam: Any,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[subprocess.Popen[str]], None],
) -> None:
    RelionProject(tmp_path / "project", ball_volume, tuple(f"TS_{n:02d}" for n in range(40)), SMALL_SHAPE)
    monkeypatch.chdir(tmp_path / "project")
    process = start(weights)
    asked = time.monotonic()
    ask(process)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    assert errors == "stopped; continue the job to go on\n"
    assert ends() == ["RELION_JOB_EXIT_ABORTED"]
    assert not Path(JOB, "RELION_JOB_ABORT_NOW").exists()
    result = cryosiam("relion-job", "--o", JOB, "--in_mics", TOMOGRAMS, "--weights", weights, "--runs", "TS_00 TS_01")
    assert result.returncode == 0, result.stderr
    assert "TS_00: check" not in result.stdout
    assert ends() == ["RELION_JOB_EXIT_SUCCESS"]


@pytest.mark.slow
def test_ends_where_the_work_does_not_listen(project: RelionProject) -> None:
    """Where compiled code swallows the interrupt, the process ends all the same, and says how."""
    program = (
        "import time\n"
        "from pathlib import Path\n"
        "from cryosiam.integrations.relion import job_folder\n"
        "job_folder._GRACE_SECONDS = 1.0\n"
        "folder = job_folder.JobFolder(Path('External/job007'))\n"
        "folder.begin()\n"
        "with job_folder.StopRequests(folder).heeded():\n"
        "    print('at work', flush=True)\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(60)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        by_file(process)
        assert process.wait(timeout=20) == 130
    assert ends() == ["RELION_JOB_EXIT_ABORTED"]


def relion_runs(project: RelionProject, options: str, stop: bool = False) -> int:
    """Let RELION 3.1 add an External job and run it; return the job's status."""
    pipeliner = client_program("relion_pipeliner")
    options = f"fn_exe == cryosiam relion-job;in_mic == {TOMOGRAMS};nr_threads == 1;{options}"
    run_client([pipeliner, "--addJob", "External", "--addJobOptions", options], project.folder)
    command = [pipeliner, "--RunJobs", JOB, "--schedule", "test", "--sec_wait_after", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while stop and process.poll() is None and "check" not in _text(Path(JOB, "run.out")):
            time.sleep(0.1)
        if stop:
            Path(JOB, "RELION_JOB_ABORT_NOW").touch()
        assert process.wait(timeout=200) == 0
    pipeline = starfile.read(project.folder / "default_pipeline.star", always_dict=True)
    (status,) = np.atleast_1d(_column(pipeline["pipeline_processes"], "rlnPipeLineProcessStatus"))
    return int(status)


def _column(table: Any, name: str) -> Any:
    return table[name] if isinstance(table, dict) else table[name].to_numpy()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
def test_relion_registers_what_the_job_made(project: RelionProject, weights: Path) -> None:
    status = relion_runs(
        project, f"param1_label == weights;param1_value == {weights};param2_label == threshold;param3_label == gpu"
    )
    assert status == FINISHED, _text(Path(JOB, "run.err"))
    pipeline = starfile.read("default_pipeline.star", always_dict=True)
    known = dict(
        zip(
            pipeline["pipeline_nodes"]["rlnPipeLineNodeName"],
            pipeline["pipeline_nodes"]["rlnPipeLineNodeType"],
            strict=True,
        )
    )
    assert known == {TOMOGRAMS: 1, **{name: number for name, (number, _) in nodes().items()}}
    edges = pipeline["pipeline_output_edges"]
    assert set(edges["rlnPipeLineEdgeToNode"]) == set(nodes())
    assert set(edges["rlnPipeLineEdgeProcess"]) == {JOB}


@pytest.mark.slow
def test_relion_learns_of_a_failure(project: RelionProject) -> None:
    assert relion_runs(project, "param1_label == weights;param1_value == none-of-these") == FAILED
    assert "error: " in _text(Path(JOB, "run.err"))


@pytest.mark.slow
def test_relion_learns_that_the_user_stopped_the_job(project: RelionProject, ball_volume: Any, weights: Path) -> None:
    shutil.rmtree(project.job)
    many = RelionProject(project.folder, ball_volume, tuple(f"TS_{n:02d}" for n in range(60)), SMALL_SHAPE)
    assert relion_runs(many, f"param1_label == weights;param1_value == {weights}", stop=True) == ABORTED


@pytest.mark.slow
def test_relion_takes_the_ready_job(project: RelionProject, weights: Path) -> None:
    pipeliner = client_program("relion_pipeliner")
    ready = Path(__file__).parents[2] / "examples" / "relion" / "job.star"
    options = f"in_mic == {TOMOGRAMS};param3_value == {weights}"
    run_client([pipeliner, "--addJobFromStar", ready, "--addJobOptions", options], project.folder)
    run_client([pipeliner, "--RunJobs", JOB, "--schedule", "test", "--sec_wait_after", "1"], project.folder)
    assert ends() == ["RELION_JOB_EXIT_SUCCESS"], _text(Path(JOB, "run.err"))
