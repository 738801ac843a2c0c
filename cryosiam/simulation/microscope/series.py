"""A simulated tilt series and all that is true of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SimulatedTiltSeries:
    """Tilt images with the truth about each; all arrays run along ascending tilt angle.

    Parameters
    ----------
    images
        ``(n, y, u)`` float32: electrons counted per pixel, or expected where counting noise is off; protein dark.
        The tilt axis is y, through pixel ``size // 2``. Images are as wide as the volume or wider.
    pixel_size_angstrom
        Edge of a pixel; that of the volume.
    tilt_angles_deg
        ``(n,)`` nominal tilts.
    exposure_index
        ``(n,)`` place of each image in the order of exposure, from 0, missing tilts counted.
    dose_per_tilt, prior_dose
        Electrons per Å² of one exposure, and ``(n,)`` what the specimen had before each.
    defocus_um
        ``(n,)`` true mean underfocus at the tilt axis.
    astigmatism_um, astigmatism_deg
        Largest minus smallest defocus, and direction of the largest (from x to y).
    phase_shift_deg
        ``(n,)`` of the phase plate.
    shifts_angstrom, rotations_deg, magnifications
        ``(n, 2)`` (x, y), ``(n,)`` and ``(n,)``: alignment error put into each image. A feature at ``p`` from the image
        centre appears at ``magnification * R(rotation) p + shift`` (R turns x towards y).
    halves
        Two stacks like ``images`` from the even and the odd frames; their sum is ``images``. None if not asked for.
    """

    images: NDArray[np.float32]
    pixel_size_angstrom: float
    tilt_angles_deg: NDArray[np.float64]
    exposure_index: NDArray[np.int64]
    dose_per_tilt: float
    prior_dose: NDArray[np.float64]
    defocus_um: NDArray[np.float64]
    astigmatism_um: float
    astigmatism_deg: float
    phase_shift_deg: NDArray[np.float64]
    shifts_angstrom: NDArray[np.float64]
    rotations_deg: NDArray[np.float64]
    magnifications: NDArray[np.float64]
    halves: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
