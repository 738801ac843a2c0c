"""Settings of the dense pass."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class DenseConfig(BaseModel):
    """Settings of the dense pass: none but the weights change its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")
