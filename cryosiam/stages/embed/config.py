"""Settings of the embedding stage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EmbedConfig(BaseModel):
    """Settings of the embedding stage.

    Attributes
    ----------
    batch
        Particles embedded at once; changes speed and memory only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(128, ge=1)
