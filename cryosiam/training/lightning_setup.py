"""Lightning, told to be quiet and to leave checkpoints and logs to us."""

from __future__ import annotations

import logging
import re
import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.strategies import DDPStrategy

from cryosiam.errors import TrainingError
from cryosiam.inference.precision import has_native_bfloat16
from cryosiam.training.limits import CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from cryosiam.training.limits import Limits

LARGEST_GRADIENT: Final = 1.0


def make_trainer(folder: Path, limits: Limits, half_precision: bool, steps: int, callbacks: list[Callback]) -> Trainer:
    """Return a trainer for ``steps`` steps that calls ``callbacks`` and does nothing else of its own accord.

    Parameters
    ----------
    folder
        Of the stage.
    limits
        Devices and nodes.
    half_precision
        Whether bfloat16 may be used; it is where the hardware has it.
    steps
        Of this sitting.
    callbacks
        Called in order.

    Raises
    ------
    TrainingError
        If the devices are words that say nothing.
    """
    if not re.fullmatch(r"auto|cpu|\d+(,\d+)*", limits.devices):
        raise TrainingError(f"cannot train on devices '{limits.devices}': give a number, indices as 0,1, auto or cpu")
    device = "cuda" if torch.cuda.is_available() and limits.devices != CPU else "cpu"
    devices = "1" if limits.devices == CPU else limits.devices
    parallel = limits.nodes > 1 or (torch.cuda.device_count() > 1 if devices == "auto" else devices != "1")
    return Trainer(
        accelerator=device,
        devices=devices,
        num_nodes=limits.nodes,
        # A stage need not use every part of its model in its losses.
        strategy=DDPStrategy(find_unused_parameters=True) if parallel else "auto",
        sync_batchnorm=parallel and device == "cuda",
        precision="bf16-mixed" if half_precision and has_native_bfloat16(device) else "32-true",
        max_epochs=1,
        max_steps=steps,
        gradient_clip_val=LARGEST_GRADIENT,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, StageBar) for callback in callbacks),
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


class StageBar(RichProgressBar):
    """A progress bar named after the stage.

    Parameters
    ----------
    name
        Of the stage.
    figures
        Gives what stands at its end.
    """

    def __init__(self, name: str, figures: Callable[[], dict[str, float]]) -> None:
        super().__init__(refresh_rate=4, leave=True)
        self._name, self._figures = name, figures

    def _get_train_description(self, current_epoch: int) -> str:
        return self._name

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the figures."""
        return dict(self._figures())


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips and warnings from the user for a while."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\b")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible(ask_to_stop: Callable[[], bool]) -> Iterator[None]:
    """Call ``ask_to_stop`` at Ctrl-C; if it was called before and answers False, interrupt at once.

    Elsewhere than in the main thread, signals stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not ask_to_stop():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    except SystemExit as error:
        # Lightning makes Ctrl-C an exit of its own.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
