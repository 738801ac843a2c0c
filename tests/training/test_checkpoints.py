"""Checkpoints: whole or not there, never replaced by worse ones, and refused where they do not belong."""

import os
import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from cryosiam.errors import StorageError, TrainingError
from cryosiam.training.checkpoints import Checkpoints, Progress

from .fitting import RECIPE


def linear(inputs: int = 3) -> nn.Linear:
    torch.manual_seed(inputs)
    return nn.Linear(inputs, 2)


@contextmanager
def room_for(most_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size: the system refuses the write as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    Checkpoints(tmp_path, "stage", RECIPE).save(Progress(step=7), linear(), linear(), {})
    return tmp_path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "stage", RECIPE)
    model, averaged = linear(), linear()
    assert checkpoints.load(model, averaged) == (Progress(), None)
    nn.init.constant_(averaged.weight, 0.5)
    progress = Progress(step=7, seconds=2.5, waited_s=0.5, best_score=0.25, since_best=2, stopped_early=True)
    checkpoints.save(progress, model, averaged, {"state": {0: torch.ones(2)}})
    other, other_averaged = nn.Linear(3, 2), nn.Linear(3, 2)
    assert checkpoints.load(other, other_averaged) == (progress, {"state": {0: pytest.approx(torch.ones(2))}})
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other_averaged.weight, averaged.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_replace_nothing(saved: Path, bad: float) -> None:
    before = (saved / "checkpoint.pt").read_bytes()
    broken = linear()
    nn.init.constant_(broken.bias, bad)
    checkpoints = Checkpoints(saved, "stage", RECIPE)
    for model, averaged in ((broken, linear()), (linear(), broken)):
        with pytest.raises(TrainingError, match="weights bias are no longer finite numbers at step 9"):
            checkpoints.save(Progress(step=9), model, averaged, {})
    with pytest.raises(TrainingError, match="no longer finite"):
        checkpoints.save_best(broken, 9)
    assert (saved / "checkpoint.pt").read_bytes() == before
    assert not (saved / "best.pt").exists()


@pytest.mark.parametrize("most_bytes", [0, 1000])
def test_a_full_disk_gives_a_sentence_and_keeps_the_old_checkpoint(saved: Path, most_bytes: int) -> None:
    before = (saved / "checkpoint.pt").read_bytes()
    checkpoints = Checkpoints(saved, "stage", RECIPE)
    with room_for(most_bytes), pytest.raises(StorageError, match="the one before is still whole") as raised:
        checkpoints.save(Progress(step=9), linear(), linear(), {})
    assert "File too large" in str(raised.value)
    assert (saved / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in saved.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_of_another_stage_is_refused(saved: Path) -> None:
    with pytest.raises(TrainingError, match="of the stage 'stage', not of 'other'"):
        Checkpoints(saved, "other", RECIPE).load(linear(), linear())


def test_a_checkpoint_of_another_recipe_is_refused(saved: Path) -> None:
    recipe = RECIPE.model_copy(update={"batch": 64, "seed": 9})
    with pytest.raises(TrainingError, match=r"another recipe \(different: batch, seed\)"):
        Checkpoints(saved, "stage", recipe).load(linear(), linear())


def test_a_checkpoint_of_another_network_is_refused(saved: Path) -> None:
    with pytest.raises(TrainingError, match=r"another network \(size mismatch for weight"):
        Checkpoints(saved, "stage", RECIPE).load(linear(4), linear(4))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_damaged_checkpoint_gives_a_sentence(saved: Path, share: float) -> None:
    path = saved / "checkpoint.pt"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TrainingError, match="is damaged or no checkpoint"):
        Checkpoints(saved, "stage", RECIPE).load(linear(), linear())


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, save: object) -> None:
    assert callable(save)
    save({"name": Harmful(tmp_path / "ran")}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="is damaged or no checkpoint"):
        Checkpoints(tmp_path, "stage", RECIPE).load(linear(), linear())
    assert not (tmp_path / "ran").exists()


def test_another_programs_checkpoint_gives_a_sentence(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="no checkpoint of this version"):
        Checkpoints(tmp_path, "stage", RECIPE).load(linear(), linear())
