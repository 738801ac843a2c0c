"""Settings of the instance stage."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cryosiam.segmentation import InstanceConfig


class InstancesConfig(BaseModel):
    """Settings of the instance stage.

    Attributes
    ----------
    sample
        Look for particles only where there is sample, not in the vacuum above and below it.
    separation
        Settings of the instance separation.
    calibration
        Turns features of an instance into its score, as the weights' card has it; None for the default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: bool = True
    separation: InstanceConfig = Field(default_factory=InstanceConfig)
    calibration: dict[str, Any] | None = None
