"""Training of one stage, on Lightning."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from cryosiam.errors import StorageError, TrainingError
from cryosiam.training.checkpoints import Checkpoints, Progress
from cryosiam.training.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryosiam.training.recipe import OptimiserRecipe
    from cryosiam.training.task import TrainingTask

NO_LIMITS = Limits()


@dataclass(frozen=True)
class Trained:
    """What training made.

    Parameters
    ----------
    model
        With averaged weights, in evaluation mode.
    steps
        Done, over all sittings.
    hours
        Spent, over all sittings.
    waited
        Share of the time in which the trainer waited for data.
    finished
        False where time ran out; training goes on when it is called again.
    main
        False in the processes that help others on further GPUs; they have nothing to write.
    """

    model: nn.Module
    steps: int
    hours: float
    waited: float
    finished: bool
    main: bool = True


def fit(
    task: TrainingTask,
    optimiser: OptimiserRecipe,
    folder: Path,
    limits: Limits = NO_LIMITS,
    report: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Train a stage, or go on with it from the checkpoint in ``folder``.

    AdamW with a linear warm-up, a cosine to zero and gradients clipped to norm 1; weights are averaged exponentially.
    Batch ``n`` of the task is that of step ``n``; with several processes it is number ``n * processes + rank``. The
    global random numbers of torch are seeded at every step, so that a stage that is cut short and goes on learns the
    same as one that is not.

    Parameters
    ----------
    task
        Model, data and losses. The model is trained in place.
    optimiser
        Steps, rates and seed.
    folder
        Of the stage: ``checkpoint.pt``, ``log.csv`` with every step, and curves for TensorBoard.
    limits
        Time, devices, patience.
    report
        Takes a line for the user.

    Raises
    ------
    TrainingError
        If Lightning is missing; if loss or weights stop being finite; if embeddings collapse; if the checkpoint in
        ``folder`` is damaged or of another stage; if devices are asked for that are not there.
    StorageError
        If the folder cannot be written; the checkpoint before stays whole.
    KeyboardInterrupt
        After Ctrl-C, once the step is done and the checkpoint is written. A second Ctrl-C stops at once.
    SystemExit
        After SIGTERM, likewise; and in processes that help others, once the stage is done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder} ({error.strerror}): give another one") from error
    averaged = copy.deepcopy(task.model).eval()
    checkpoints = Checkpoints(folder, task.name, optimiser)
    progress, optimiser_state = checkpoints.load(task.model, averaged)
    main = True
    if not _finished(progress, optimiser):
        try:
            from cryosiam.training.sitting import Sitting
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "lightning":
                raise
            raise TrainingError("training needs Lightning: pip install 'cryosiam[train]'") from error
        if progress.step:
            report(f"{task.name}: goes on from step {progress.step} of {optimiser.steps}")
        main = Sitting(task, optimiser, folder, limits, report, checkpoints, progress, averaged).run(optimiser_state)
    if limits.patience is not None and _finished(progress, optimiser):
        checkpoints.load_best(averaged)
    return Trained(
        averaged,
        progress.step,
        progress.seconds / 3600,
        progress.waited_s / progress.seconds if progress.seconds else 0.0,
        _finished(progress, optimiser),
        main,
    )


def _finished(progress: Progress, optimiser: OptimiserRecipe) -> bool:
    return progress.step >= optimiser.steps or progress.stopped_early
