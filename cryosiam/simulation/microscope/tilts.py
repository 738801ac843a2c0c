"""Tilt schemes: which tilt is exposed when, and what dose the specimen had by then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec.microscope import TiltSpec

_ANGLE_TOLERANCE_DEG: Final = 1e-3
"""Tilts that lie closer than this are the same tilt."""


@dataclass(frozen=True)
class Exposures:
    """Exposures of a tilt series, along ascending tilt angle; tilts not recorded are left out.

    Parameters
    ----------
    tilt_angles_deg
        ``(n,)`` nominal tilts.
    exposure_index
        ``(n,)`` place in the order of exposure, from 0, missing tilts counted.
    prior_dose
        ``(n,)`` electrons per Å² that the specimen had before each.
    dose_per_tilt
        Electrons per Å² of one exposure.
    """

    tilt_angles_deg: NDArray[np.float64]
    exposure_index: NDArray[np.int64]
    prior_dose: NDArray[np.float64]
    dose_per_tilt: float


def exposures(tilts: TiltSpec, total_dose: float) -> Exposures:
    """Plan a tilt series.

    Tilts are ``start_deg`` plus whole steps within the range (for ``continuous``, ``min_deg`` plus whole steps). The
    dose-symmetric scheme is that of Hagen, Wan and Briggs (J. Struct. Biol. 2017) with ``group`` 1: 0, +3, -3, -6, +6,
    +9, -9 and so on, changing sides only after two tilts. With larger groups the sides take turns, positive first, as
    in EMPIAR-10491 (0, +2, +4, -2, -4, +6, +8, and so on). When one side is used up, the other goes on.

    Parameters
    ----------
    tilts
        Scheme, range and missing tilts.
    total_dose
        Electrons per Å² over all exposures, missing ones included, shared equally.

    Returns
    -------
    Exposures
        Of the tilts that were recorded.

    Raises
    ------
    InputError
        If a missing tilt is not a tilt of the scheme, or none is left.
    """
    order = _order_of_exposure(tilts)
    recorded = np.ones(order.size, bool)
    for missing in tilts.missing_deg:
        distance = np.abs(order - missing)
        nearest = int(distance.argmin())
        if distance[nearest] > _ANGLE_TOLERANCE_DEG:
            raise InputError(
                f"missing_deg names {missing:g} degrees, which the scheme does not tilt to; the nearest tilt is "
                f"{order[nearest]:g}"
            )
        recorded[nearest] = False
    if not recorded.any():
        raise InputError(f"missing_deg leaves out all {order.size} tilts of the scheme; keep at least one")
    dose = float(total_dose / order.size)
    kept = np.flatnonzero(recorded)
    index = kept[np.argsort(order[kept], kind="stable")].astype(np.int64)
    return Exposures(order[index], index, index.astype(np.float64) * dose, dose)


def _order_of_exposure(tilts: TiltSpec) -> NDArray[np.float64]:
    """Return all nominal tilts in degrees, in the order of exposure."""
    if tilts.scheme == "continuous":
        steps = np.arange(_whole_steps(tilts.max_deg - tilts.min_deg, tilts.step_deg) + 1)
        return tilts.min_deg + tilts.step_deg * steps.astype(np.float64)
    above = np.arange(1, _whole_steps(tilts.max_deg - tilts.start_deg, tilts.step_deg) + 1)
    below = -np.arange(1, _whole_steps(tilts.start_deg - tilts.min_deg, tilts.step_deg) + 1)
    if tilts.scheme == "bidirectional":
        order = np.concatenate([[0], above, below])
    else:
        order = np.array([0, *_alternate(above.tolist(), below.tolist(), tilts.group)])
    return tilts.start_deg + tilts.step_deg * order.astype(np.float64)


def _whole_steps(span_deg: float, step_deg: float) -> int:
    return int(np.floor((span_deg + _ANGLE_TOLERANCE_DEG) / step_deg))


def _alternate(above: list[int], below: list[int], group: int) -> list[int]:
    """Return the steps of both sides in the order of a dose-symmetric scheme."""
    # Hagen's scheme is the one of pairs, with a first visit of one tilt.
    take, size = group, (2 if group == 1 else group)
    order: list[int] = []
    sides = [above, below]
    while above or below:
        side = sides[0]
        order += side[:take]
        del side[:take]
        sides.reverse()
        take = size
    return order
