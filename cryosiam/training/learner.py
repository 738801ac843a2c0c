"""The model of a task with its losses, as Lightning wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from cryosiam.training.prefetch import Prefetched
from cryosiam.training.schedule import learning_rate

if TYPE_CHECKING:
    from cryosiam.training.recipe import OptimiserRecipe
    from cryosiam.training.task import Batch, TrainingTask


class Learner(LightningModule):
    """A task under Lightning.

    Parameters
    ----------
    task, recipe
        What is trained and how.
    first
        Steps done before.
    optimiser_state
        Of the checkpoint; None at the start.

    Attributes
    ----------
    figures
        Losses of the last step.
    batches
        Where they come from, once training has begun.
    """

    def __init__(
        self, task: TrainingTask, recipe: OptimiserRecipe, first: int, optimiser_state: dict[str, Any] | None
    ) -> None:
        super().__init__()
        self.model = task.model
        self.figures: dict[str, Tensor] = {}
        self.batches: Prefetched[Batch] | None = None
        self._task, self._recipe, self._first, self._optimiser_state = task, recipe, first, optimiser_state

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW over everything that learns."""
        optimiser = torch.optim.AdamW(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            self._recipe.learning_rate,
            weight_decay=self._recipe.weight_decay,
        )
        if self._optimiser_state is not None:
            optimiser.load_state_dict(self._optimiser_state)
        return optimiser

    def train_dataloader(self) -> Prefetched[Batch]:
        """Return the batches of this sitting."""
        pinned = self.trainer.strategy.root_device.type == "cuda"

        def make(index: int) -> Batch:
            batch = self._task.batches(self._batch_number(index))
            return {name: value.pin_memory() for name, value in batch.items()} if pinned else batch

        self.batches = Prefetched(make, 0, self._recipe.steps - self._first)
        return self.batches

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate, and seed what the losses may draw."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate(self._recipe, self._first + batch_idx)
        torch.manual_seed((self._recipe.seed << 32) + self._batch_number(batch_idx))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the total loss."""
        losses = self._task.losses(self.model, channels_last(batch))
        self.figures = {name: value.detach() for name, value in losses.items()}
        return losses["total"]

    def _batch_number(self, index: int) -> int:
        return (self._first + index) * self.trainer.world_size + self.trainer.global_rank


def channels_last(batch: Batch) -> Batch:
    """Return the batch with its volumes laid out as convolutions are quickest."""
    return {
        name: value.contiguous(memory_format=torch.channels_last_3d) if value.ndim == 5 else value
        for name, value in batch.items()
    }
