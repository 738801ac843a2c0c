"""Settings of the embedding stage."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EmbedConfig(BaseModel):
    """Settings of the embedding stage.

    Attributes
    ----------
    batch
        Particles embedded at once; changes speed and memory only.
    crops
        How particles are cut out of their surroundings.
    unit_range
        Scale the denoised volume from 0 to 1, protein bright, before particles are cut out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(128, ge=1)
    crops: Literal["soft", "strict", "hull", "none", "surroundings"] = "soft"
    unit_range: bool = False
