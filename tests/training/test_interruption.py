"""Training that is killed goes on where it was; training on several processes shares the batches."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
from cryosiam.training.progress import TrainingLog
from cryosiam.training.task import Batch

from .fitting import RECIPE, batches, logged, tiny_task

STEPS = 400
LONG = RECIPE.model_copy(update={"steps": STEPS})
KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fitting import RECIPE, tiny_task
from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
fit(tiny_task(), RECIPE.model_copy(update={"steps": int(sys.argv[3])}), Path(sys.argv[2]),
    Limits(checkpoint_every_steps=int(sys.argv[4])))
"""


def killed_after(folder: Path, row: int, checkpoint_every: int) -> None:
    """Train in another process, and kill it once the log has so many rows."""
    arguments = [str(Path(__file__).parent), str(folder), str(STEPS), str(checkpoint_every)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments])
    log = folder / "log.csv"
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") <= row):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    fit(tiny_task(), LONG, tmp_path / "whole")
    cut = tmp_path / "cut"
    # Before the first checkpoint, soon after one, and at any moment among checkpoints at every step.
    for row, every in ((20, 100), (130, 60), (200, 1)):
        killed_after(cut, row, every)
        assert [step for step, _ in logged(cut)] == list(range(1, len(logged(cut)) + 1))
    kept = torch.load(cut / "checkpoint.pt", weights_only=True)["progress"]["step"]
    assert 0 <= logged(cut)[-1][0] - kept <= 1
    made: list[int] = []

    def counted(number: int) -> Batch:
        made.append(number)
        return batches(number)

    task = tiny_task()
    fit(type(task)(**{**vars(task), "batches": counted}), LONG, cut)
    assert made == list(range(kept, STEPS))
    assert [step for step, _ in logged(cut)] == list(range(1, STEPS + 1))
    losses = [value for _, value in logged(tmp_path / "whole")]
    # Sums of several threads differ in the last digits.
    assert [value for _, value in logged(cut)] == pytest.approx(losses, rel=1e-2, abs=1e-4)


def test_the_log_forgets_steps_after_the_checkpoint(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, 0)
    log.write([{"step": step, "total": step / 8} for step in range(1, 6)])
    log.write([{"step": 6, "total": 0.75, "score": 0.5}])
    log.close()
    with (tmp_path / "log.csv").open("a") as stream:
        stream.write("7,0.8")
    log = TrainingLog(tmp_path, 4)
    log.write([{"step": 5, "total": 9.0}])
    log.close()
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "step,total,score", "1,0.125,", "2,0.25,", "3,0.375,", "4,0.5,", "5,9,",
    ]  # fmt: skip


TWO = """
import json, os, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from fitting import RECIPE, batches, tiny_task
from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
folder = Path(sys.argv[2])
rank = os.environ.get("LOCAL_RANK", "0")
made = []
task = tiny_task()
def counted(number):
    made.append(number)
    (folder / f"made{rank}.json").write_text(json.dumps(made))
    return batches(number)
trained = fit(type(task)(**{**vars(task), "batches": counted}), RECIPE.model_copy(update={"steps": 12}), folder,
              Limits(devices="2"))
assert trained.finished and trained.main
(folder / f"ended{rank}").touch()
torch.save(trained.model.state_dict(), folder / "trained.pt")
"""


@pytest.mark.slow
def test_two_processes_share_the_batches(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TWO)
    folder = tmp_path / "stage"
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, str(Path(__file__).parent), folder], check=True, env=environment)
    made = [(folder / f"made{rank}.json").read_text() for rank in (0, 1)]
    assert made == [str(list(range(rank, 24, 2))) for rank in (0, 1)]
    assert sorted(path.name for path in folder.glob("ended*")) == ["ended0"]
    assert [step for step, _ in logged(folder)] == list(range(1, 13))
    alone = fit(tiny_task(), RECIPE.model_copy(update={"steps": 12}), tmp_path / "alone", Limits(devices="1"))
    both = torch.load(folder / "trained.pt", weights_only=True)
    assert any(not torch.equal(value, both[name]) for name, value in alone.model.state_dict().items())
