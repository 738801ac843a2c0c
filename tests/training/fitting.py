"""Small stages of training for the tests of the trainer."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor, nn

from cryosiam.training.recipe import OptimiserRecipe
from cryosiam.training.task import Batch, TrainingTask

RECIPE = OptimiserRecipe(steps=40, batch=2, learning_rate=0.02, warmup_steps=4, average_decay=0.9, seed=3)


class TinyNetwork(nn.Module):
    """A convolution with batch norm, dropout and a head, on patches of 6^3 voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU())
        self.drop = nn.Dropout(0.1)
        self.head = nn.Conv3d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.drop(self.trunk(x)))
        return out


def batches(number: int) -> Batch:
    """Noise, and the same noise smoothed."""
    noisy = torch.randn(RECIPE.batch, 1, 6, 6, 6, generator=torch.Generator().manual_seed(number))
    return {"noisy": noisy, "clean": nn.functional.avg_pool3d(noisy, 3, 1, 1)}


def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Squared error, and its root for the log."""
    error = nn.functional.mse_loss(model(batch["noisy"]).float(), batch["clean"])
    return {"total": error, "root": error.sqrt()}


def tiny_network() -> TinyNetwork:
    """Return a network with given initial weights."""
    torch.manual_seed(0)
    return TinyNetwork()


def tiny_task(name: str = "tiny", half_precision: bool = False) -> TrainingTask:
    """Return a stage that takes milliseconds a step."""
    return TrainingTask(name, tiny_network(), batches, losses, half_precision=half_precision)


def logged(folder: Path, column: str = "total") -> list[tuple[int, float]]:
    """Return one column of the log, with the step of each row."""
    with (folder / "log.csv").open() as stream:
        return [(int(row["step"]), float(row[column])) for row in csv.DictReader(stream)]
