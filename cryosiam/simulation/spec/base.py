"""What all parts of a simulation recipe share: strict fields, and values that may be drawn from a range."""

from __future__ import annotations

from typing import Annotated, Self, TypeAlias

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

LONGEST_NM = 1e5
"""Greatest length or diameter that can be asked for."""


def _ordered(value: float | tuple[float, float]) -> float | tuple[float, float]:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError(f"a range runs from low to high, not from {value[0]:g} to {value[1]:g}")
    return value


Drawn: TypeAlias = Annotated[float | tuple[float, float], AfterValidator(_ordered)]
"""A number, or ``[low, high]`` to draw one uniformly for each tomogram."""


class SpecPart(BaseModel):
    """Base of all parts: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def drawn(self, rng: np.random.Generator) -> Self:
        """Return the same part with each range of a :data:`Drawn` field replaced by a number out of it.

        Parameters
        ----------
        rng
            Source of randomness; fields are drawn in the order in which they are declared.
        """
        changed: dict[str, object] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, SpecPart):
                changed[name] = value.drawn(rng)
            elif (
                isinstance(value, tuple)
                and field.metadata
                and _ordered in [one.func for one in field.metadata if isinstance(one, AfterValidator)]
            ):
                changed[name] = float(rng.uniform(*value))
        return self.model_copy(update=changed)


def fixed(value: Drawn) -> float:
    """Return the number that a :data:`Drawn` field holds.

    Raises
    ------
    ValueError
        If it still is a range; draw the recipe first (:meth:`SimulationSpec.drawn`).
    """
    if isinstance(value, tuple):
        raise ValueError(f"the range {value} was not drawn before use")
    return float(value)


def lowest(value: Drawn) -> float:
    """Return the least value that a :data:`Drawn` field may take."""
    return float(min(value)) if isinstance(value, tuple) else float(value)


def highest(value: Drawn) -> float:
    """Return the greatest value that a :data:`Drawn` field may take."""
    return float(max(value)) if isinstance(value, tuple) else float(value)


def check_within(part: SpecPart, low: float, high: float, *names: str) -> None:
    """Raise a ValueError, a sentence, if one of a part's numbers or ranges leaves ``low`` to ``high``."""
    for name in names:
        value = getattr(part, name)
        if lowest(value) < low or highest(value) > high:
            raise ValueError(f"{name} must lie between {low:g} and {high:g}")


def check_lengths(name: str, range_nm: tuple[float, float]) -> None:
    """Raise a ValueError, a sentence, unless a range of lengths rises from a positive number to :data:`LONGEST_NM`."""
    low, high = range_nm
    if not 0 < low <= high:
        raise ValueError(f"{name} must rise from a positive number")
    if high > LONGEST_NM:
        raise ValueError(f"{name} must not exceed {LONGEST_NM:g}")
