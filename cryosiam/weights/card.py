"""Weights card: what a weights file expects, holds and has been measured to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.networks.config import HEAD_NAMES, DenseConfig, PretrainingConfig, SubtomogramConfig

CARD_FORMAT: Final = 1
NORMALISATION: Final = "percentile-clip-0.1-99.9-zscore"
"""Normalisation of networks trained here: clip at the 0.1 and 99.9 percentiles, then zero mean and unit deviation."""

UNIT_RANGE: Final = "percentile-clip-0.1-99.9-unit"
"""Normalisation of the authors' networks: clip at the same percentiles, then 0 to 1."""


class Task(StrEnum):
    """What a weights file is for."""

    DENSE = "dense"
    SUBTOMOGRAM = "subtomogram"
    PRETRAINING = "pretraining"


class Training(BaseModel):
    """How the weights came about.

    Attributes
    ----------
    recipe
        Command that made them.
    data
        What they learnt from.
    parameters
        Steps, batch, learning rate, seeds.
    hours
        Wall time on ``machine``.
    machine
        What it ran on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    data: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    hours: float = Field(ge=0)
    machine: str


class WeightsCard(BaseModel):
    """Card beside every weights file (JSON Schema: ``schemas/weights_card.schema.json``).

    Attributes
    ----------
    format
        Version of the card's layout.
    name, task
        Name of the weights and what they are for.
    part
        Which of several networks of the task this is, where one folder holds more than one.
    sha256
        Digest of the safetensors file.
    network
        Shape of the network.
    heads
        Task heads of a dense network.
    semantic_classes
        Names of the semantic channels, in order.
    species
        Names the classifier of a subtomogram network knows.
    voxel_size_angstrom
        Voxel size the network learnt at; input is resampled to it.
    contrast
        Grey value of protein in the input.
    normalisation
        How the input's grey values are scaled.
    input
        What the network reads: the tomogram, or the denoised tomogram, scaled from 0 to 1.
    crops
        How a subtomogram network wants particles cut out of their surroundings: by a soft mask a little larger than
        the instance, by the instance itself (``strict``), by its convex hull, or not at all; ``surroundings``: by the
        soft mask, with what lies around it in a second channel.
    halo
        Context in voxels that makes a tile exact.
    training
        Data and recipe.
    accuracy
        Measured figures on data the weights never saw.
    score
        Calibration of pick scores.
    assumptions
        What could not be known when weights of another program were imported, and was taken to be so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    task: Task
    part: str = Field(default="", pattern="^[a-z0-9-]*$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    network: DenseConfig | SubtomogramConfig | PretrainingConfig
    heads: tuple[str, ...] = ()
    semantic_classes: tuple[str, ...] = ()
    species: tuple[str, ...] = ()
    voxel_size_angstrom: float = Field(gt=0)
    contrast: Contrast
    normalisation: Literal["percentile-clip-0.1-99.9-zscore", "percentile-clip-0.1-99.9-unit"] = NORMALISATION
    input: Literal["tomogram", "denoised"] = "tomogram"
    crops: Literal["soft", "strict", "hull", "none", "surroundings"] = "soft"
    halo: int = Field(default=0, ge=0)
    training: Training
    accuracy: dict[str, float] = Field(default_factory=dict)
    score: dict[str, Any] | None = None
    assumptions: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """Name, without ending, of the weights file and of the card."""
        return f"{self.task}-{self.part}" if self.part else str(self.task)

    @model_validator(mode="after")
    def _fits_its_task(self) -> WeightsCard:
        wanted: dict[Task, type[BaseModel]] = {
            Task.DENSE: DenseConfig,
            Task.SUBTOMOGRAM: SubtomogramConfig,
            Task.PRETRAINING: PretrainingConfig,
        }
        if not isinstance(self.network, wanted[self.task]):
            raise ValueError(f"a {self.task} card needs the shape of a {self.task} network")
        if isinstance(self.network, DenseConfig):
            self._check_heads(self.network)
        if isinstance(self.network, SubtomogramConfig):
            channels = 2 if self.crops == "surroundings" else 1
            if self.network.encoder.input_channels != channels:
                raise ValueError(f"crops '{self.crops}' have {channels} channels, the network another number")
        if self.contrast is Contrast.UNKNOWN:
            raise ValueError("contrast must be 'dark' or 'bright'")
        return self

    def _check_heads(self, network: DenseConfig) -> None:
        if set(self.heads) - set(HEAD_NAMES) or not self.heads:
            raise ValueError(f"heads must be of {', '.join(HEAD_NAMES)}; got {', '.join(self.heads) or 'none'}")
        if "semantic" not in self.heads:
            return
        shuffled = self.semantic_classes != SEMANTIC_CLASSES and set(self.semantic_classes) == set(SEMANTIC_CLASSES)
        if shuffled or len(self.semantic_classes) != network.classes:
            raise ValueError(
                f"semantic classes are {', '.join(self.semantic_classes) or 'not named'}; the network has "
                f"{network.classes}, and this version has its own in the order {', '.join(SEMANTIC_CLASSES)}"
            )
