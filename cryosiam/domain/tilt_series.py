"""Tilt series and their alignment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Hand(StrEnum):
    """Hand of a reconstruction: does the volume show the specimen or its mirror image?

    Defined in the geometry contract: with projection ``u = x cos(t) + z sin(t)`` (x, z from the volume's
    centre), ``AS_GIVEN`` uses the tilt angles as they are written and ``INVERTED`` their negatives.
    """

    AS_GIVEN = "as-given"
    INVERTED = "inverted"


@dataclass(frozen=True)
class TiltAlignment:
    """How each tilt image maps onto the aligned, tilt-axis-vertical frame.

    An aligned image is sampled as ``raw = centre + inverse(matrix) @ (aligned - centre - shift)``,
    which is IMOD's ``.xf`` rule ``aligned = matrix @ (raw - centre) + shift + centre``.

    Parameters
    ----------
    tilt_angles_deg
        ``(n,)`` tilt about the y axis of the aligned frame, in degrees, sign as in the file.
    matrices
        ``(n, 2, 2)`` acting on column vectors (x, y).
    shifts_angstrom
        ``(n, 2)`` shift (x, y) in Å, so that it holds at any binning.
    angles_inverted
        True where the angles must change sign to give the specimen's hand.
    """

    tilt_angles_deg: NDArray[np.float64]
    matrices: NDArray[np.float64]
    shifts_angstrom: NDArray[np.float64]
    angles_inverted: bool = False

    @property
    def hand(self) -> Hand:
        """Hand that a reconstruction from this alignment has."""
        return Hand.INVERTED if self.angles_inverted else Hand.AS_GIVEN


@dataclass(frozen=True)
class TiltSeries:
    """A stack of tilt images and their alignment.

    Parameters
    ----------
    run
        Name of the run.
    images
        ``(n, y, x)`` images, read lazily (a memory map will do).
    pixel_size_angstrom
        Edge of the square pixel in Å.
    alignment
        Geometry of each image, in the order of ``images``.
    exposures_e_per_a2
        ``(n,)`` accumulated dose before each image in electrons per Å², where known.
    defocus_um
        ``(n,)`` defocus of each image in µm, positive for underfocus, where known.
    """

    run: str
    images: NDArray[np.generic]
    pixel_size_angstrom: float
    alignment: TiltAlignment
    exposures_e_per_a2: NDArray[np.float64] | None = None
    defocus_um: NDArray[np.float64] | None = None
