"""The trainer: it learns as plain torch would, keeps frozen parts frozen, and stops when it should."""

import copy
import dataclasses
import math
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cryosiam.errors import TrainingError
from cryosiam.inference.precision import has_native_bfloat16
from cryosiam.training.fit import fit
from cryosiam.training.limits import CPU, Limits
from cryosiam.training.recipe import OptimiserRecipe
from cryosiam.training.schedule import learning_rate
from cryosiam.training.task import Batch, TrainingTask

from .fitting import RECIPE, batches, logged, losses, tiny_network, tiny_task


def plain_loop(recipe: OptimiserRecipe, steps: int, half: bool) -> tuple[list[float], nn.Module, nn.Module]:
    """Train the tiny network in plain torch, as the recipe says; return losses, weights and averaged weights."""
    # In the layout that the trainer uses: dropout draws in the order of memory.
    model = tiny_network().train().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    averaged = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)
    totals = []
    for step in range(steps):
        warm = (step + 1) / recipe.warmup_steps
        along = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
        cosine = (1 + math.cos(math.pi * along)) / 2
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * (warm if step < recipe.warmup_steps else cosine)
        torch.manual_seed((recipe.seed << 32) + step)
        batch = {name: value.to(memory_format=torch.channels_last_3d) for name, value in batches(step).items()}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            total = losses(model, batch)["total"]
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        totals.append(total.item())
        decay = min(recipe.average_decay, (step + 1) / (step + 10))
        for mean, value in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * value if mean.is_floating_point() else value)
    return totals, model, averaged


@pytest.mark.parametrize("half", [False, True])
def test_it_learns_as_a_plain_loop_does(tmp_path: Path, half: bool) -> None:
    task = tiny_task(half_precision=half)
    trained = fit(task, RECIPE, tmp_path)
    totals, model, averaged = plain_loop(RECIPE, RECIPE.steps, half and has_native_bfloat16("cpu"))
    # bfloat16 rounds to three digits.
    tolerance = 2e-2 if half else 1e-4
    assert [step for step, _ in logged(tmp_path)] == list(range(1, RECIPE.steps + 1))
    assert [value for _, value in logged(tmp_path)] == pytest.approx(totals, rel=tolerance)
    for ours, plain in ((task.model, model), (trained.model, averaged)):
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=tolerance, atol=tolerance)
    assert totals[-1] < 0.5 * totals[0]
    assert trained.finished
    assert trained.steps == RECIPE.steps
    assert not any(module.training for module in trained.model.modules())


def test_it_says_nothing_but_what_it_is_asked_to(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(tiny_task(), RECIPE, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    fit(tiny_task(), RECIPE, tmp_path)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_frozen_parts_keep_weights_and_batch_statistics(tmp_path: Path) -> None:
    task = dataclasses.replace(tiny_task(), frozen=("trunk",))
    before = copy.deepcopy(task.model.state_dict())
    trained = fit(task, RECIPE, tmp_path)
    for network in (task.model, trained.model):
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name]) == name.startswith("trunk"), name
    assert not task.model.get_submodule("trunk").training
    assert task.model.training


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    first = fit(tiny_task(), RECIPE, tmp_path)

    def no_batch(number: int) -> Batch:
        raise AssertionError(number)

    again = fit(dataclasses.replace(tiny_task(), batches=no_batch), RECIPE, tmp_path)
    assert (again.finished, again.steps, again.hours) == (True, first.steps, first.hours)
    torch.testing.assert_close(dict(again.model.state_dict()), dict(first.model.state_dict()))


def test_out_of_time_it_stops_and_goes_on_later(tmp_path: Path) -> None:
    whole = fit(tiny_task(), RECIPE, tmp_path / "whole")
    sittings = 0
    while True:
        cut = fit(tiny_task(), RECIPE, tmp_path / "cut", Limits(time_budget_s=0.02))
        sittings += 1
        if cut.finished:
            break
    assert sittings > 1
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")
    torch.testing.assert_close(dict(cut.model.state_dict()), dict(whole.model.state_dict()))


def test_ctrl_c_ends_the_step_and_writes_a_checkpoint(tmp_path: Path) -> None:
    def interrupting(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if torch.equal(batch["noisy"], batches(6)["noisy"]):
            os.kill(os.getpid(), signal.SIGINT)
        return losses(model, batch)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(dataclasses.replace(tiny_task(), losses=interrupting), RECIPE, tmp_path / "cut")
    assert signal.getsignal(signal.SIGINT) is handler
    assert logged(tmp_path / "cut")[-1][0] == 7
    lines: list[str] = []
    fit(tiny_task(), RECIPE, tmp_path / "cut", report=lines.append)
    assert lines[0] == "tiny: goes on from step 7 of 40"
    fit(tiny_task(), RECIPE, tmp_path / "whole")
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")


def test_a_polite_kill_ends_the_step_and_writes_a_checkpoint(tmp_path: Path) -> None:
    def terminating(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if torch.equal(batch["noisy"], batches(6)["noisy"]):
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(model, batch)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised:
        fit(dataclasses.replace(tiny_task(), losses=terminating), RECIPE, tmp_path)
    assert raised.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is handler
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]["step"] == 7


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    def interrupting(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("still running")

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(dataclasses.replace(tiny_task(), losses=interrupting), RECIPE, tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_loss_that_explodes_stops_with_a_sentence_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    def exploding(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        late = torch.equal(batch["noisy"], batches(12)["noisy"])
        return {"total": losses(model, batch)["total"] * (float("inf") if late else 1.0)}

    with pytest.raises(TrainingError, match=r"loss of tiny is not a finite number at step 13;.*is kept") as raised:
        fit(dataclasses.replace(tiny_task(), losses=exploding), RECIPE, tmp_path, Limits(checkpoint_every_steps=5))
    assert str(tmp_path) in str(raised.value)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]["step"] == 10
    assert logged(tmp_path)[-1][0] == 12


def test_patience_ends_training_with_the_best_weights(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    def validate(model: nn.Module) -> dict[str, float]:
        assert not any(module.training for module in model.modules())
        seen.append(copy.deepcopy(model.state_dict()))
        return {"score": [0.1, 0.5, 0.4, 0.3, 0.2, 0.9][len(seen) - 1]}

    limits = Limits(patience=3, validate_every_steps=4)
    trained = fit(dataclasses.replace(tiny_task(), validate=validate), RECIPE, tmp_path, limits)
    assert (trained.finished, trained.steps, len(seen)) == (True, 20, 5)
    torch.testing.assert_close(dict(trained.model.state_dict()), dict(seen[1]), rtol=0, atol=0)
    again = fit(tiny_task(), RECIPE, tmp_path, limits)
    assert (again.finished, again.steps) == (True, 20)
    torch.testing.assert_close(dict(again.model.state_dict()), dict(seen[1]), rtol=0, atol=0)


def test_validation_is_reported_and_logged(tmp_path: Path) -> None:
    lines: list[str] = []
    task = dataclasses.replace(tiny_task(), validate=lambda model: {"score": 0.25, "dice": 0.5})
    fit(task, RECIPE, tmp_path, Limits(validate_every_steps=20), lines.append)
    assert lines == [f"tiny: step {step}, validation: score 0.25, dice 0.5" for step in (20, 40)]
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[0] == "step,total,root,learning_rate,waited,validation_score,validation_dice"
    assert [row.endswith(",0.25,0.5") for row in rows[1:]] == [step in (20, 40) for step in range(1, 41)]


def test_the_wait_for_data_is_measured(tmp_path: Path) -> None:
    def slow_at_first(number: int) -> Batch:
        time.sleep(0.3 if number == 0 else 0.0)
        return batches(number)

    trained = fit(dataclasses.replace(tiny_task(), batches=slow_at_first), RECIPE, tmp_path)
    assert trained.waited * trained.hours * 3600 > 0.25
    assert trained.waited < 1


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate(RECIPE, step) for step in range(RECIPE.steps)]
    assert rates[3] == max(rates) == RECIPE.learning_rate
    assert rates[0] < rates[1]
    assert rates[-1] < 0.01 * RECIPE.learning_rate


def test_without_lightning_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "lightning.pytorch"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("sitting", "learner", "lightning_setup"):
        monkeypatch.delitem(sys.modules, f"cryosiam.training.{name}", raising=False)
    with pytest.raises(TrainingError, match=r"^training needs Lightning: pip install 'cryosiam\[train\]'$"):
        fit(tiny_task(), RECIPE, tmp_path)


def test_the_cpu_can_be_asked_for(tmp_path: Path) -> None:
    assert fit(tiny_task(), RECIPE, tmp_path, Limits(devices=CPU)).finished


def test_devices_that_are_not_there_give_a_sentence(tmp_path: Path) -> None:
    for devices in ("0", "gpu"):
        with pytest.raises(TrainingError, match=f"cannot train on devices '{devices}'"):
            fit(tiny_task(), RECIPE, tmp_path, Limits(devices=devices))


def test_errors_of_the_data_pass_unchanged(tmp_path: Path) -> None:
    def broken(number: int) -> Batch:
        raise TrainingError("no patches")

    with pytest.raises(TrainingError, match=r"^no patches$"):
        fit(dataclasses.replace(tiny_task(), batches=broken), RECIPE, tmp_path)


def test_a_task_may_leave_parts_of_its_model_unused(tmp_path: Path) -> None:
    task = TrainingTask(
        "part", nn.ModuleDict({"used": tiny_network(), "other": nn.Linear(2, 2)}), batches,
        lambda model, batch: losses(model.get_submodule("used"), batch), half_precision=False,
    )  # fmt: skip
    before = task.model.get_submodule("other").state_dict()["weight"].clone()
    fit(task, RECIPE, tmp_path)
    assert torch.equal(task.model.get_submodule("other").state_dict()["weight"], before)
