"""Settings of the classification."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ClassifyConfig(BaseModel):
    """Settings of the classification.

    Attributes
    ----------
    confidence
        Probability below which a particle has no class; the weights' own for None.
    objects
        Classes to tell apart, all others being ``particle``; every class the weights know for None.
    nothing_else
        The sample holds no other classes, so particles that look like others are the likeliest of these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    confidence: float | None = Field(default=None, ge=0, le=1)
    objects: tuple[str, ...] | None = None
    nothing_else: bool = False
