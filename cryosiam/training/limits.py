"""How long and on what a stage of training may run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CPU: Final = "cpu"
"""Device of training where GPUs are to be left alone."""


@dataclass(frozen=True)
class Limits:
    """Limits of one sitting of training; they change nothing about what is learned at a given step.

    Parameters
    ----------
    time_budget_s
        Seconds after which this sitting stops, with a checkpoint; None: no limit.
    patience
        Validations without a better score before training stops early; the best weights are then returned. None: never.
    devices
        `CPU`, or as Lightning takes them: ``"auto"``, a number, or indices such as ``"0,1"``.
    nodes
        Machines that train together.
    checkpoint_every_steps, checkpoint_every_s
        A checkpoint is written after so many steps or seconds, whichever comes first.
    validate_every_steps
        Steps between validations; None: a twentieth of all steps.
    """

    time_budget_s: float | None = None
    patience: int | None = None
    devices: str = "auto"
    nodes: int = 1
    checkpoint_every_steps: int = 1000
    checkpoint_every_s: float = 120.0
    validate_every_steps: int | None = None
