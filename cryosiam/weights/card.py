"""Weights card: what a weights file expects, holds and has been measured to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.networks.config import DENSE_HEADS, DenseConfig, SubtomogramConfig

CARD_FORMAT: Final = 1
NORMALISATION: Final = "percentile-clip-0.1-99.9-zscore"
"""The only normalisation there is: clip at the 0.1 and 99.9 percentiles, then zero mean and unit deviation."""


class Task(StrEnum):
    """What a weights file is for."""

    DENSE = "dense"
    SUBTOMOGRAM = "subtomogram"


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
    halo
        Context in voxels that makes a tile exact.
    training
        Data and recipe.
    accuracy
        Measured figures on data the weights never saw.
    score
        Calibration of pick scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    task: Task
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    network: DenseConfig | SubtomogramConfig
    heads: tuple[str, ...] = ()
    semantic_classes: tuple[str, ...] = ()
    species: tuple[str, ...] = ()
    voxel_size_angstrom: float = Field(gt=0)
    contrast: Contrast
    normalisation: Literal["percentile-clip-0.1-99.9-zscore"] = NORMALISATION
    halo: int = Field(default=0, ge=0)
    training: Training
    accuracy: dict[str, float] = Field(default_factory=dict)
    score: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fits_its_task(self) -> WeightsCard:
        if self.task is Task.DENSE:
            if not isinstance(self.network, DenseConfig):
                raise ValueError("a dense card needs the shape of a dense network")
            unknown = set(self.heads) - set(DENSE_HEADS)
            if unknown or not self.heads:
                raise ValueError(f"heads must be of {', '.join(DENSE_HEADS)}; got {', '.join(self.heads) or 'none'}")
            if "semantic" in self.heads and self.semantic_classes != SEMANTIC_CLASSES:
                raise ValueError(
                    f"semantic classes are {', '.join(self.semantic_classes)}; "
                    f"this version knows {', '.join(SEMANTIC_CLASSES)}"
                )
        elif not isinstance(self.network, SubtomogramConfig):
            raise ValueError("a subtomogram card needs the shape of a subtomogram network")
        if self.contrast is Contrast.UNKNOWN:
            raise ValueError("contrast must be 'dark' or 'bright'")
        return self
