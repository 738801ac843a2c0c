"""The installed ``cryosiam train`` does each stage once, goes on after any end, and makes weights that `pick` takes."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cryosiam.cli.main import INTERRUPTED
from cryosiam.cli.train_stages import ALL
from cryosiam.weights import weights_folder

from .training_run import RECIPE, assert_refused, contents, digests, log_steps, write_recipe


def test_a_stage_makes_weights_once(out: Path, call: Any, recipe: Path) -> None:
    words = ("train", "pretrain-dense", "--recipe", recipe, "--out", out)
    made = call(*words)
    assert made.returncode == 0, made.stderr
    assert f"weights written to {out / 'weights'}" in made.stdout
    assert log_steps(out, "pretrain-dense") == [1, 2]
    assert any((out / "pretrain-dense" / "tensorboard").iterdir())
    before = contents(out)
    again = call(*words)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [f"pretrain-dense: done already; its weights are in {out / 'weights'}"]
    assert contents(out) == before
    other = write_recipe(out.parent, {"pretrain_dense": {"steps": 4, "batch": 2, "learning_rate": 0.002}})
    assert_refused(call(*words[:3], other, *words[4:]), "pretrain_dense.steps", "2, not 4", "another --out")
    assert contents(out) == before
    # What other stages learn by is none of its business.
    other = write_recipe(out.parent, {"dense": {"steps": 7, "batch": 1, "learning_rate": 0.002}})
    assert "done already" in call(*words[:3], other, *words[4:]).stdout


def test_out_of_time_it_says_how_far_it_is_and_goes_on(out: Path, call: Any, recipe: Path) -> None:
    words = ("train", "pretrain-dense", "--recipe", recipe, "--out", out)
    stopped = call(*words, "--time-budget", "0.01s")
    assert stopped.returncode == 0, stopped.stderr
    assert "the time is up after 1 steps" in stopped.stdout
    assert "run the same command again to go on" in stopped.stdout
    assert not (out / "weights").exists()
    damaged_checkpoints_are_refused(out / "pretrain-dense" / "checkpoint.pt", lambda: call(*words))
    done = call(*words, "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert log_steps(out, "pretrain-dense") == [1, 2]
    assert (out / "weights" / "pretraining.safetensors").is_file()


class Code:
    """Something that would run a program when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(Path(tempfile.gettempdir()) / "cryosiam-code-was-run"),))


@pytest.mark.slow
def test_killed_before_it_is_recorded_a_stage_does_not_start_from_its_own_weights(
    out: Path, call: Any, recipe: Path
) -> None:
    shutil.copytree(weights_folder("light"), out / "weights")
    words = ("train", "broaden", "--recipe", recipe, "--out", out)
    made = call(*words)
    assert made.returncode == 0, made.stderr
    weights = digests(out)
    record = out / "broaden" / "stage.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "weights": None}))
    again = call(*words)
    assert again.returncode == 0, again.stderr
    assert "done already" not in again.stdout
    assert digests(out) == weights
    card = json.loads((out / "weights" / "dense.json").read_text())
    assert card["training"]["recipe"].count("train broaden") == 2, "once here, once as it ships"


def damaged_checkpoints_are_refused(checkpoint: Path, train: Any) -> None:
    good = checkpoint.read_bytes()
    with_code = io.BytesIO()
    torch.save({"model": Code()}, with_code)
    for bad in (good[: len(good) // 2], b"", with_code.getvalue()):
        checkpoint.write_bytes(bad)
        assert_refused(train(), str(checkpoint.parent))
        assert checkpoint.read_bytes() == bad
    assert not (Path(tempfile.gettempdir()) / "cryosiam-code-was-run").exists()
    checkpoint.write_bytes(good)


COMMAND = Path(sys.executable).parent / "cryosiam"


LONG = {"dense": {"steps": 40, "batch": 1, "learning_rate": 0.002, "warmup_steps": 1}}


def started(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.home()
    )


def wait_for_steps(process: subprocess.Popen[str], log: Path, steps: int) -> None:
    """Wait until the log of a stage holds so many steps."""
    end = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < end:
        if log.is_file() and len(log.read_text().splitlines()) > steps:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate())


@pytest.mark.slow
def test_killed_or_interrupted_it_goes_on_as_if_it_had_not_been(
    out: Path, tmp_path: Path, cryosiam: Any, weights: Path
) -> None:
    recipe = write_recipe(tmp_path, LONG)
    whole = shutil.copytree(out, tmp_path / "whole")
    words = ("train", "lamella", "--recipe", recipe, "--from", weights, "--out")
    made = cryosiam(*words, whole)
    assert made.returncode == 0, made.stderr
    # A sitting that runs out of time leaves a checkpoint to go on from, however fast the machine is.
    assert "the time is up" in cryosiam(*words, out, "--time-budget", "0.01s").stdout
    process = started(*words, out)
    wait_for_steps(process, out / "lamella" / "log.csv", 11)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "weights").exists()
    process = started(*words, out)
    assert process.stdout is not None
    assert any("goes on from step 1 of" in line for line in iter(process.stdout.readline, ""))
    wait_for_steps(process, out / "lamella" / "log.csv", 11)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == INTERRUPTED, errors
    assert errors.strip() == "stopped; run the same command again to go on"
    went_on = cryosiam(*words, out)
    assert went_on.returncode == 0, went_on.stderr
    assert "goes on from step" in went_on.stdout
    assert log_steps(out, "lamella") == list(range(1, 41))
    assert digests(out)
    assert digests(out) == digests(whole)


def in_own_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; what it mounts is gone when it ends."""
    return subprocess.run(["unshare", "-rm", "sh", "-ec", script], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(out: Path, tmp_path: Path, cryosiam: Any) -> None:
    point = tmp_path / "mounted"
    point.mkdir()
    if shutil.which("unshare") is None or in_own_namespace(f"mount -t tmpfs tmpfs {point}").returncode:
        pytest.skip("this machine does not let a user mount file systems in a namespace")
    recipe = write_recipe(tmp_path)
    train = f"{COMMAND} train pretrain-dense --recipe {recipe} --out {point}"
    cryosiam(*train.split()[1:-1], out, "--time-budget", "0.01s")
    left = tmp_path / "left"
    result = in_own_namespace(
        f"mount -t tmpfs -o size=1g tmpfs {point}; cp -a {out}/. {point}; "
        f"used=$(du -sk {point} | cut -f1); mount -o remount,size=$((used + 100))k {point}; "
        f"set +e; {train}; code=$?; cp -a {point} {left}; mount -o remount,size=1g {point}; "
        f"{train} >&2; echo again $? >&2; exit $code"
    )
    lines = result.stderr.splitlines()
    assert result.returncode == 1, result.stdout + result.stderr
    assert lines[0].startswith("error: ")
    assert "space" in lines[0]
    assert "Traceback" not in result.stderr
    assert lines[-1] == "again 0"
    stage = Path("pretrain-dense") / "checkpoint.pt"
    assert (left / stage).read_bytes() == (out / stage).read_bytes()
    assert not list(left.rglob("*.part"))


@pytest.mark.slow
def test_all_goes_on_in_the_middle_and_what_it_makes_picks(
    out: Path, tmp_path: Path, cryosiam: Any, make_project: Any
) -> None:
    specimens = [{"preset": "demo", "seeds": [1, 12], "shape_zyx": [80, 96, 96], "share": 1.0}]
    # Particles need many specimens; stages that go on with the dense network are as well tested with few.
    few = RECIPE["rebalance"]["specimens"]
    recipe = write_recipe(
        tmp_path,
        {
            "specimens": specimens,
            "refine": {**RECIPE["refine"], "specimens": few},
            "broaden": {**RECIPE["broaden"], "specimens": few},
            "particles": 400,
            "contrastive": {"steps": 2, "batch": 16, "learning_rate": 0.001},
        },
    )
    alone = cryosiam("train", "dense", "--recipe", recipe, "--out", out)
    assert alone.returncode == 0, alone.stderr
    # Two steps teach a dense network to find no particle; the one that ships stands in for a longer training.
    shutil.copy(weights_folder("light") / "dense.json", out / "weights")
    shutil.copy(weights_folder("light") / "dense.safetensors", out / "weights")
    words = ("train", "all", "--recipe", recipe, "--out", out)
    made = cryosiam(*words)
    assert made.returncode == 0, made.stderr
    lines = made.stdout.splitlines()
    assert lines[0] == f"dense: done already; its weights are in {out / 'weights'}"
    assert [line.partition(":")[0] for line in lines if "done; weights written" in line] == list(ALL[1:])
    again = cryosiam(*words)
    assert again.stdout.count("done already") == len(ALL)
    project = make_project()
    picked = cryosiam("pick", "--copick", project.config, "--weights", out / "weights")
    assert picked.returncode == 0, picked.stderr
    assert "ribosome" not in json.loads((out / "weights" / "subtomogram.json").read_text())["species"]
