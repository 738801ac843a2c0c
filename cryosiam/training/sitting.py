"""One sitting of training under Lightning: it begins at a checkpoint and ends with one."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.modules.batchnorm import _BatchNorm

from cryosiam.errors import TrainingError
from cryosiam.training.collapse import CollapseWatch, measure_health
from cryosiam.training.learner import Learner, channels_last
from cryosiam.training.lightning_setup import StageBar, interruptible, make_trainer, quiet_lightning
from cryosiam.training.progress import Lines, TrainingLog, described
from cryosiam.training.schedule import average_decay, average_into, learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import FrameType

    from torch import Tensor, nn

    from cryosiam.training.checkpoints import Checkpoints, Progress
    from cryosiam.training.limits import Limits
    from cryosiam.training.recipe import OptimiserRecipe
    from cryosiam.training.task import Batch, TrainingTask

LOG_EVERY: Final = 10
"""Steps whose figures stay on the device before they are read: reading makes a GPU wait."""

TERMINATED: Final = 128 + signal.SIGTERM
"""Exit code after a polite kill, as shells have it."""

COLLAPSE_EVERY: Final = 50
VALIDATIONS: Final = 20


class Sitting(Callback):
    """Does after each step what has to be done: averages, logs, validates, watches, and writes checkpoints.

    Parameters
    ----------
    task, recipe, folder, limits, report
        As given to :func:`cryosiam.training.fit.fit`.
    checkpoints, progress, averaged
        Of the stage; progress and averaged weights change in place.
    """

    def __init__(
        self,
        task: TrainingTask,
        recipe: OptimiserRecipe,
        folder: Path,
        limits: Limits,
        report: Callable[[str], None],
        checkpoints: Checkpoints,
        progress: Progress,
        averaged: nn.Module,
    ) -> None:
        self._task, self._recipe, self._folder, self._limits, self._report = task, recipe, folder, limits, report
        self._checkpoints, self._progress, self._averaged = checkpoints, progress, averaged
        self._first, self._spent_s, self._waited_s = progress.step, progress.seconds, progress.waited_s
        self._validate_every = limits.validate_every_steps or max(1, recipe.steps // VALIDATIONS)
        self._watch = CollapseWatch()
        self._stop_asked = self._terminated = False
        self._rows: list[dict[str, Any]] = []
        self._shown: dict[str, float] = {}
        self._log: TrainingLog | None = None
        self._lines: Lines | None = None
        self._started = self._saved_at = time.monotonic()

    def run(self, optimiser_state: dict[str, Any] | None) -> bool:
        """Train until the end, or until time runs out; return whether this is the process that writes results.

        Raises
        ------
        TrainingError, StorageError, KeyboardInterrupt
            As :func:`cryosiam.training.fit.fit` says.
        """
        self._prepare_model()
        learner = Learner(self._task, self._recipe, self._first, optimiser_state)
        callbacks: list[Callback] = [self]
        if sys.stdout.isatty():
            callbacks.append(StageBar(self._task.name, lambda: self._shown))
        steps = self._recipe.steps - self._first
        with quiet_lightning(), interruptible(self._ask_to_stop):
            try:
                trainer = make_trainer(self._folder, self._limits, self._task.half_precision, steps, callbacks)
                trainer.fit(learner)
            except MisconfigurationException as error:
                raise TrainingError(
                    f"cannot train on devices '{self._limits.devices}' of {self._limits.nodes} node(s): "
                    f"{str(error).splitlines()[0]}"
                ) from error
            finally:
                if self._log is not None:
                    self._log.close()
                if learner.batches is not None:
                    learner.batches.close()
        if self._terminated:
            raise SystemExit(TERMINATED)
        if self._stop_asked:
            raise KeyboardInterrupt
        if not trainer.is_global_zero and trainer.strategy.launcher is not None:
            # Lightning started this process for this stage alone; the next stage gets its own.
            raise SystemExit(0)
        self._averaged.cpu()
        return bool(trainer.is_global_zero)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the averaged weights beside the model, and open the log."""
        self._averaged.to(pl_module.device)
        if trainer.is_global_zero:
            self._log = TrainingLog(self._folder, self._first)
            if trainer.progress_bar_callback is None:
                self._lines = Lines(self._task.name, self._first, self._recipe.steps, self._report)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take a polite kill as a wish to stop after the step.

        Lightning's own handler, which it removes at the end with this one, makes several processes wait for each
        other without end.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._terminate)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Average the weights, then do what the main process has to do, then stop if it says so."""
        assert isinstance(pl_module, Learner)
        progress = self._progress
        average_into(self._averaged, self._task.model, average_decay(self._recipe, progress.step))
        progress.step += 1
        self._measure_time(pl_module)
        stop = False
        if trainer.is_global_zero:
            stop = self._after_step(trainer, pl_module, batch)
        if trainer.world_size > 1:
            stop, progress.stopped_early = trainer.strategy.broadcast((stop, progress.stopped_early))
        trainer.should_stop = trainer.should_stop or stop

    def _prepare_model(self) -> None:
        model = self._task.model
        for network in (model, self._averaged):
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        model.train()
        for name in self._task.frozen:
            model.get_submodule(name).eval().requires_grad_(False)
        if self._task.frozen_statistics:
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def _ask_to_stop(self) -> bool:
        already, self._stop_asked = self._stop_asked, True
        return not already

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    def _measure_time(self, learner: Learner) -> None:
        assert learner.batches is not None
        self._progress.seconds = self._spent_s + time.monotonic() - self._started
        self._progress.waited_s = self._waited_s + learner.batches.waited_s

    def _after_step(self, trainer: Trainer, learner: Learner, batch: Batch) -> bool:
        """Do the main process's work after a step; return whether to stop."""
        step = self._progress.step
        row: dict[str, Any] = {"step": step, **learner.figures}
        row["learning_rate"] = learning_rate(self._recipe, step - 1)
        row["waited"] = self._progress.waited_s / max(self._progress.seconds, 1e-9)
        self._rows.append(row)
        if self._task.embeddings is not None and step % COLLAPSE_EVERY == 0:
            row.update(self._check_embeddings(trainer, batch))
        if self._task.validate is not None and (step % self._validate_every == 0 or step == self._recipe.steps):
            row.update(self._validate())
        budget, now = self._limits.time_budget_s, time.monotonic()
        stop = (
            self._stop_asked
            or self._terminated
            or self._progress.stopped_early
            or (budget is not None and now - self._started >= budget)
        )
        save = (
            stop
            or step == self._recipe.steps
            or step % self._limits.checkpoint_every_steps == 0
            or now - self._saved_at >= self._limits.checkpoint_every_s
        )
        if save or len(self._rows) >= LOG_EVERY:
            self._write_rows()
        if save:
            self._checkpoints.save(self._progress, self._task.model, self._averaged, trainer.optimizers[0].state_dict())
            self._saved_at = time.monotonic()
        return stop

    def _write_rows(self) -> None:
        """Log the steps since the last time, up to one whose loss is not a finite number."""
        assert self._log is not None
        rows = [{name: float(value) for name, value in row.items()} for row in self._rows]
        self._rows = []
        bad = next((row for row in rows if not math.isfinite(row["total"])), None)
        self._log.write(rows if bad is None else rows[: rows.index(bad)])
        if bad is not None:
            raise TrainingError(
                f"the loss of {self._task.name} is not a finite number at step {bad['step']:.0f}; the checkpoint "
                f"before, in {self._folder}, is kept: lower the learning rate in the recipe and start in a new folder"
            )
        self._shown = {"loss": rows[-1]["total"], "waited": rows[-1]["waited"]}
        if self._lines is not None:
            self._lines.step(self._progress.step, rows[-1]["total"], rows[-1]["waited"])

    def _check_embeddings(self, trainer: Trainer, batch: Batch) -> Mapping[str, float]:
        health = measure_health(self._embed(trainer, batch))
        if self._progress.step > self._recipe.warmup_steps and self._watch.sees_collapse(health):
            self._write_rows()
            raise TrainingError(
                f"the embeddings of {self._task.name} have collapsed (spread {health.spread:.2g}, effective rank "
                f"{health.effective_rank:.2g} at step {self._progress.step}): lower the learning rate in the recipe "
                "and start in a new folder"
            )
        return {"spread": health.spread, "effective_rank": health.effective_rank}

    def _embed(self, trainer: Trainer, batch: Batch) -> Tensor:
        """Return the embeddings of a batch, leaving batch statistics as they are."""
        assert self._task.embeddings is not None
        model = self._task.model
        modes = [(module, module.training) for module in model.modules()]
        try:
            model.eval()
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                return self._task.embeddings(model, channels_last(batch))
        finally:
            for module, training in modes:
                module.training = training

    def _validate(self) -> Mapping[str, float]:
        """Measure the averaged weights and keep count of what is best."""
        assert self._task.validate is not None
        progress = self._progress
        with torch.no_grad():
            figures = dict(self._task.validate(self._averaged))
        self._report(f"{self._task.name}: step {progress.step}, validation: {described(figures)}")
        score = figures["score"]
        if progress.best_score is None or score > progress.best_score:
            progress.best_score, progress.since_best = score, 0
            if self._limits.patience is not None:
                self._checkpoints.save_best(self._averaged, progress.step)
        else:
            progress.since_best += 1
        progress.stopped_early = self._limits.patience is not None and progress.since_best >= self._limits.patience
        return {f"validation_{name}": value for name, value in figures.items()}
