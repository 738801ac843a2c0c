"""What a stage is, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cryosiam.domain import Tomogram
    from cryosiam.stages.scratch import Scratch

TileProgress = Callable[[int, int], None]
"""Called with the number of pieces done and the number of all pieces."""


@dataclass(frozen=True)
class Resources:
    """What a stage may use.

    Parameters
    ----------
    device
        Torch device, such as ``"cpu"`` or ``"cuda:0"``.
    precision
        ``"auto"``, ``"float32"`` or ``"bfloat16"``.
    memory_bytes
        Memory to stay within, or None for what the machine has free.
    workers
        Threads.
    seed
        Random seed.
    """

    device: str = "cpu"
    precision: str = "auto"
    memory_bytes: int | None = None
    workers: int = 1
    seed: int = 0


@dataclass(frozen=True)
class StageWork:
    """One stage of one run, about to start.

    Parameters
    ----------
    tomogram
        The tomogram as the source gives it.
    scratch
        Where maps and tables of earlier stages are, and this stage's go.
    resources
        What may be used.
    progress
        Tells the user how far it is.
    note, warn
        Tell the user a sentence; ``warn`` also with `--quiet`.
    """

    tomogram: Tomogram
    scratch: Scratch
    resources: Resources
    progress: TileProgress
    note: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class WeightsUsed:
    """Weights that a stage depends on."""

    name: str
    sha256: str


class Stage(Protocol):
    """A step of the pipeline. Its result depends on the input, its settings, its weights and what it reads only."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the maps and tables it reads."""
        ...

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of the maps and tables it writes."""
        ...

    @property
    def config(self) -> BaseModel:
        """Settings."""
        ...

    @property
    def weights(self) -> WeightsUsed | None:
        """Weights, where it uses any."""
        ...

    def prepare(self) -> None:
        """Load what the work needs, so that anything missing or damaged shows before something is written."""
        ...

    def run(self, work: StageWork) -> dict[str, Any]:
        """Do the work and return figures about the result that JSON can hold.

        The keys ``device`` and ``precision`` say what was used where that was for the stage to choose.
        """
        ...
