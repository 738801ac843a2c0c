"""Missing wedges of other tilt ranges and tilt axes, taken out of a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cryosiam.domain import MissingWedge
from cryosiam.training.augment.fourier import filtered
from cryosiam.training.augment.ranges import Range, drawn

if TYPE_CHECKING:
    from torch import Tensor


class WedgeRecipe(BaseModel):
    """Wedges to take out.

    Attributes
    ----------
    chance
        Share of patches that lose a wedge.
    tilt_limit_deg
        Range of the smallest and of the largest tilt, drawn apart, without their signs.
    any_axis
        Whether the tilt axis may lie in any direction in the plane of the sample, or only along y.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chance: float = Field(default=0.3, ge=0, le=1)
    tilt_limit_deg: Range = (40.0, 70.0)
    any_axis: bool = True

    @field_validator("tilt_limit_deg")
    @classmethod
    def _below_a_quarter_turn(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[1] > 90:
            raise ValueError(f"tilts end at 90 degrees, not at {limits[1]:g}")
        return limits

    def draw(self, rng: np.random.Generator) -> tuple[MissingWedge, float]:
        """Draw a wedge about y, and the angle in degrees that its axis is turned by."""
        wedge = MissingWedge(-drawn(self.tilt_limit_deg, rng), drawn(self.tilt_limit_deg, rng))
        return wedge, drawn((0.0, 180.0), rng) if self.any_axis else 0.0


def without_wedge(volume: Tensor, wedge: MissingWedge, turned_deg: float = 0.0) -> Tensor:
    """Take out what a tilt series does not see.

    An image at tilt t holds the frequencies along the tilt axis and along ``x cos t + z sin t`` (docs/geometry.md);
    what lies between two tilts is taken as seen. For an axis along x, y takes the place of x.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32.
    wedge
        Angles seen, and the axis.
    turned_deg
        Angle by which the axis is turned about z, from x to y.

    Returns
    -------
    Tensor
        ``(z, y, x)`` float32. What was seen is as it was; beyond it, frequencies fall to nothing over one step of
        Fourier space.
    """
    softness = 1 / min(volume.shape)
    return filtered(volume, lambda kz, ky, kx: wedge_factor(kz, ky, kx, wedge, turned_deg, softness))


def wedge_factor(
    kz: Tensor, ky: Tensor, kx: Tensor, wedge: MissingWedge, turned_deg: float = 0.0, softness: float = 0.0
) -> Tensor:
    """Return 1 for frequencies that are seen and 0 for others, with a linear fall over ``softness`` outside."""
    turn = np.deg2rad(turned_deg + (90.0 if wedge.tilt_axis == "x" else 0.0))
    across = kx * float(np.cos(turn)) + ky * float(np.sin(turn))
    low, high = np.deg2rad([wedge.tilt_min_deg, wedge.tilt_max_deg])
    # Distances from the planes of the first and of the last tilt, positive towards the other.
    above = kz * float(np.cos(low)) - across * float(np.sin(low))
    below = across * float(np.sin(high)) - kz * float(np.cos(high))
    inside = torch.maximum(torch.minimum(above, below), -torch.maximum(above, below))
    return (inside / max(softness, 1e-6) + 1).clamp(0, 1)
