"""Reading PyTorch Lightning checkpoints without running what they hold."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryosiam.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


HARMLESS: Final = (
    "__builtin__.getattr",
    "argparse.Namespace",
    "builtins.getattr",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torch.optim.lr_scheduler.OneCycleLR._annealing_cos",
)
"""Names that schedulers and callbacks leave in honest checkpoints. None is looked up: `_Nothing` stands for each."""


class _Nothing:
    """Takes the place of something that was not loaded, and does nothing."""

    def __new__(cls, *_arguments: object, **_named: object) -> _Nothing:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Forget ``state``."""


@dataclass(frozen=True)
class Checkpoint:
    """What of a checkpoint is kept; the optimizer's state, loops and callbacks are left behind.

    Parameters
    ----------
    tensors
        The model's tensors by the names they have in the checkpoint.
    settings
        Settings of the program that trained it, as plain dictionaries.
    epoch, step
        How far training was; -1 where it does not say.
    """

    tensors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    epoch: int = -1
    step: int = -1

    def setting(self, *keys: str) -> Any:
        """Return the setting under ``keys``, one inside the other; None where there is none."""
        value: Any = self.settings
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a Lightning checkpoint (``.ckpt``): tensors and plain values only, nothing in it is ever run.

    Raises
    ------
    WeightsError
        If there is no such file, it holds anything but tensors and plain values, it is damaged, or it is not a
        checkpoint of a model.
    """
    content = _load(path)
    tensors = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not tensors:
        raise WeightsError(
            f"{path} holds no model: a Lightning checkpoint has a 'state_dict'; give the .ckpt file as published"
        )
    settings = content.get("hyper_parameters")
    model = _tensors(path, tensors)
    return Checkpoint(
        model,
        settings if isinstance(settings, dict) else {},
        _number(content.get("epoch")),
        _number(content.get("global_step")),
    )


def _load(path: Path) -> Any:
    import pickle

    import torch

    if not path.is_file():
        raise WeightsError(f"there is no file {path}; give the .ckpt file as published")
    try:
        with torch.serialization.safe_globals([(_Nothing, name) for name in HARMLESS]), warnings.catch_warnings():
            # Warns of pickle protocols that it then reads, or refuses.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ('{found[1]}')" if found else ""
        if found or "weights only" in str(error).lower():
            raise WeightsError(
                f"{path} holds more than tensors and plain values{what}, which could run as code; it was not read, "
                "get the file from where the authors published it"
            ) from None
        raise _damaged(path) from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> WeightsError:
    return WeightsError(f"{path} is not a checkpoint, or is damaged; get the file again")


def _tensors(path: Path, tensors: dict[Any, Any]) -> dict[str, Tensor]:
    import torch

    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise WeightsError(f"{path} has '{name}' among its tensors, which is none; get the file again")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(
                f"{path} has NaN or infinite numbers in '{name}': its training failed; use an earlier checkpoint"
            )
    return {str(name): value for name, value in tensors.items()}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else -1
