"""Checkpoints that are whole or not there, and are never replaced by worse ones."""

from __future__ import annotations

import os
import pickle
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from cryosiam.errors import StorageError, TrainingError
from cryosiam.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from cryosiam.training.recipe import OptimiserRecipe

LAST: Final = "checkpoint.pt"
BEST: Final = "best.pt"


@dataclass
class Progress:
    """How far a stage is.

    Parameters
    ----------
    step
        Steps done.
    seconds, waited_s
        Spent in all sittings, and of these waiting for data.
    best_score, since_best
        Best score of a validation, and validations since.
    stopped_early
        Whether training ended because the score no longer rose.
    """

    step: int = 0
    seconds: float = 0.0
    waited_s: float = 0.0
    best_score: float | None = None
    since_best: int = 0
    stopped_early: bool = False


class Checkpoints:
    """The checkpoint of one stage in its folder.

    Parameters
    ----------
    folder
        Holds :data:`LAST` and, where there is patience, :data:`BEST`.
    name
        Of the stage; a checkpoint of another one is refused.
    recipe
        Optimiser; training does not go on with another one.
    """

    def __init__(self, folder: Path, name: str, recipe: OptimiserRecipe) -> None:
        self._folder, self._name, self._recipe = folder, name, recipe.model_dump()

    def save(self, progress: Progress, model: nn.Module, averaged: nn.Module, optimiser: Mapping[str, Any]) -> None:
        """Replace the last checkpoint.

        Raises
        ------
        TrainingError
            If a weight is not a finite number; the checkpoint before stays.
        StorageError
            If it cannot be written; the checkpoint before stays.
        """
        weights = {"model": model.state_dict(), "averaged": averaged.state_dict()}
        for state in weights.values():
            self._refuse_infinite(state, progress.step)
        self._write(LAST, {**self._origin(), **weights, "optimiser": optimiser, "progress": asdict(progress)})

    def save_best(self, averaged: nn.Module, step: int) -> None:
        """Replace the best weights; raises as :meth:`save` does."""
        state = averaged.state_dict()
        self._refuse_infinite(state, step)
        self._write(BEST, {**self._origin(), "averaged": state})

    def load(self, model: nn.Module, averaged: nn.Module) -> tuple[Progress, dict[str, Any] | None]:
        """Load the last checkpoint into both networks; return how far it is and the state of the optimiser.

        Raises
        ------
        TrainingError
            If it is damaged, of another stage, of another optimiser, or of another network.
        """
        content = self._read(LAST)
        if content is None:
            return Progress(), None
        path = self._folder / LAST
        self._load_weights(path, model, content["model"])
        self._load_weights(path, averaged, content["averaged"])
        return Progress(**content["progress"]), content["optimiser"]

    def load_best(self, averaged: nn.Module) -> None:
        """Load the best weights, if there are any; raises as :meth:`load` does."""
        content = self._read(BEST)
        if content is not None:
            self._load_weights(self._folder / BEST, averaged, content["averaged"])

    def _origin(self) -> dict[str, Any]:
        return {"name": self._name, "recipe": self._recipe}

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self._folder / name
        try:
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                torch.save(content, stream)
                stream.flush()
                os.fsync(stream.fileno())
        except (OSError, RuntimeError) as error:
            # torch's writer hides what the disk said behind a RuntimeError of its own.
            cause = error if isinstance(error, OSError) else error.__context__
            reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
            raise StorageError(
                f"cannot write the checkpoint {path} ({reason}); the one before is still whole: free some space or "
                "mend the folder, and run the same command again to go on"
            ) from error

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._folder / name
        if not path.exists():
            return None
        try:
            with warnings.catch_warnings():
                # Of a file that is no checkpoint torch says more than that.
                warnings.simplefilter("ignore", UserWarning)
                content = torch.load(path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise TrainingError(f"{path} is damaged or no checkpoint: remove it to start the stage again") from error
        if not isinstance(content, dict) or not {"name", "recipe", "averaged"} <= content.keys():
            raise TrainingError(f"{path} is no checkpoint of this version: give another folder, or remove it")
        if content["name"] != self._name:
            raise TrainingError(
                f"{path} is a checkpoint of the stage '{content['name']}', not of '{self._name}': give another folder, "
                "or remove it to start again"
            )
        changed = [key for key, value in self._recipe.items() if content["recipe"].get(key) != value]
        if changed:
            raise TrainingError(
                f"{path} was made with another recipe (different: {', '.join(changed)}): take the old recipe to go on, "
                "or give another folder to start again"
            )
        return content

    @staticmethod
    def _load_weights(path: Path, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise TrainingError(
                f"{path} holds another network ({first}): give another folder, or remove it to start again"
            ) from error

    def _refuse_infinite(self, state: Mapping[str, Tensor], step: int) -> None:
        for name, value in state.items():
            if value.dtype.is_floating_point and not bool(torch.isfinite(value).all()):
                raise TrainingError(
                    f"the weights {name} are no longer finite numbers at step {step}; the checkpoint before, in "
                    f"{self._folder}, is kept: lower the learning rate in the recipe and start in a new folder"
                )
