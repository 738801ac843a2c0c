"""Settings of the input check."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CheckConfig(BaseModel):
    """Settings of the input check.

    Attributes
    ----------
    contrast
        Grey value of protein: ``auto`` takes what the source states, else finds out.
    wanted_contrast
        Grey value of protein that the weights learnt with.
    unit_range
        Scale grey values from 0 to 1 between the clip limits, and not to zero mean and unit spread.
    low_pass_angstrom
        Finest detail the network is shown, in Å; all of it for None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    contrast: Literal["auto", "dark", "bright"] = "auto"
    wanted_contrast: Literal["dark", "bright"] = "dark"
    unit_range: bool = False
    low_pass_angstrom: float | None = Field(default=None, gt=0)
