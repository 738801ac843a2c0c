"""Settings of the preview."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PreviewConfig(BaseModel):
    """Settings of the preview: none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
