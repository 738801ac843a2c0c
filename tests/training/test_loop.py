"""The training loop: it learns, averages, and goes on after a kill as if nothing had happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cryosiam.errors import InputError, TrainingError
from cryosiam.training import loop
from cryosiam.training.recipe import OptimiserRecipe, read_recipe

RECIPE = OptimiserRecipe(steps=40, batch=8, learning_rate=0.2, warmup_steps=4, average_decay=0.9)


def batches(first: int) -> Iterator[dict[str, Tensor]]:
    for step in range(first, RECIPE.steps):
        x = torch.randn(RECIPE.batch, 3, generator=torch.Generator().manual_seed(step))
        yield {"x": x, "y": x @ torch.tensor([[1.0], [-2.0], [0.5]])}


def losses(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"total": nn.functional.mse_loss(model(batch["x"]), batch["y"])}


def new_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_it_learns_and_returns_the_averaged_weights(tmp_path: Path) -> None:
    model = new_model()
    averaged, hours = loop.train(model, RECIPE, batches, losses, tmp_path, lambda *_: None)
    assert hours >= 0
    assert isinstance(averaged, nn.Linear)
    torch.testing.assert_close(averaged.weight.detach(), torch.tensor([[1.0, -2.0, 0.5]]), atol=0.1, rtol=0)
    assert not torch.equal(averaged.weight, dict(model.named_parameters())["weight"])


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 10)
    whole, _ = loop.train(new_model(), RECIPE, batches, losses, tmp_path / "whole", lambda *_: None)

    class Killed(Exception):
        pass

    def die_at_20(step: int, _losses: dict[str, float], _seconds: float) -> None:
        if step == 20:
            raise Killed

    with pytest.raises(Killed):
        loop.train(new_model(), RECIPE, batches, losses, tmp_path / "cut", die_at_20)
    resumed, _ = loop.train(new_model(), RECIPE, batches, losses, tmp_path / "cut", lambda *_: None)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    steps = [line.split(",")[0] for line in (tmp_path / "cut" / "log.csv").read_text().split()]
    assert steps == ["step", "10", "20", "30", "40"]


def test_learning_rate_rises_then_falls() -> None:
    rates = [loop.learning_rate(RECIPE, step) for step in range(RECIPE.steps)]
    assert rates[3] == max(rates) == RECIPE.learning_rate
    assert rates[0] < rates[1]
    assert rates[-1] < 0.01 * RECIPE.learning_rate


def test_recipes_by_name_and_file(tmp_path: Path) -> None:
    assert read_recipe("light").voxel_size_angstrom == 10.0
    with pytest.raises(InputError, match="no training recipe"):
        read_recipe(tmp_path / "none.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: x\nsurprise: 1\n")
    with pytest.raises(InputError, match="not a training recipe"):
        read_recipe(wrong)


def test_a_loss_that_explodes_stops_with_a_sentence(tmp_path: Path) -> None:
    def infinite(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"total": losses(model, batch)["total"] * float("inf")}

    with pytest.raises(TrainingError, match="not a finite number at step 1"):
        loop.train(new_model(), RECIPE, batches, infinite, tmp_path, lambda *_: None)
