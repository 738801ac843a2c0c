"""Alignment errors: what is left of shift, rotation and magnification in aligned tilt images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.geometry import volume_centre_index
from cryosiam.simulation.microscope.gradient import cropped
from cryosiam.simulation.spec import fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import AlignmentSpec

_SPLINE_ORDER: Final = 5
"""Of the interpolation under rotation: images hold detail up to their Nyquist frequency, which a cubic one blurs."""


@dataclass(frozen=True)
class AlignmentError:
    """Alignment error of one image: a feature at ``p`` appears at ``magnification * R(rotation) p + shift``.

    Parameters
    ----------
    shift_pixels
        Along x and y.
    rotation_deg
        In the image, from x towards y, about pixel ``size // 2``.
    magnification
        1 is none.
    """

    shift_pixels: tuple[float, float]
    rotation_deg: float
    magnification: float

    def shift_filter(self, shape_yx: tuple[int, int]) -> NDArray[np.complex64]:
        """Return the factor on the grid of ``numpy.fft.rfft2`` that shifts, to be followed by :meth:`turn_and_crop`."""
        x, y = np.linalg.solve(self._matrix(), self.shift_pixels)
        ramp = np.exp(-2j * np.pi * np.fft.fftfreq(shape_yx[0]) * y)[:, None]
        both: NDArray[np.complex128] = ramp * np.exp(-2j * np.pi * np.fft.rfftfreq(shape_yx[1]) * x)
        return both.astype(np.complex64)

    def turn_and_crop(self, image: NDArray[np.float32], shape_yx: tuple[int, int]) -> NDArray[np.float32]:
        """Rotate and magnify about the centre, and keep the middle of the image."""
        if self.rotation_deg == 0 and self.magnification == 1:
            return cropped(image, shape_yx)
        centre = [volume_centre_index(size) for size in image.shape]
        centre_kept = [volume_centre_index(size) for size in shape_yx]
        back = np.linalg.inv(self._matrix())[::-1, ::-1]
        turned: NDArray[np.float32] = ndimage.affine_transform(
            image, back, centre - back @ centre_kept, shape_yx, order=_SPLINE_ORDER, mode="mirror"
        )
        return turned

    def _matrix(self) -> NDArray[np.float64]:
        """Return the linear part, acting on (x, y)."""
        angle = np.deg2rad(self.rotation_deg)
        cosine, sine = np.cos(angle), np.sin(angle)
        return self.magnification * np.array([[cosine, -sine], [sine, cosine]])


def draw_alignment_errors(
    spec: AlignmentSpec, count: int, pixel_size_angstrom: float, rng: np.random.Generator
) -> list[AlignmentError]:
    """Draw the errors of ``count`` images, normally distributed."""
    normal = rng.standard_normal((count, 4))
    shifts = normal[:, :2] * fixed(spec.shift_angstrom) / pixel_size_angstrom
    rotations = normal[:, 2] * fixed(spec.rotation_deg)
    magnifications = np.maximum(1 + normal[:, 3] * fixed(spec.magnification), 0.5)
    return [
        AlignmentError((float(x), float(y)), float(rotation), float(magnification))
        for (x, y), rotation, magnification in zip(shifts, rotations, magnifications, strict=True)
    ]
