"""Modulation transfer and detective quantum efficiency of electron detectors at 300 kV.

Each curve is ``exp(-(f / w)^p)`` through its published values at half and at the whole Nyquist frequency:

- ``k2`` (counting): the curves of Ruskin, Yu and Grigorieff (J. Struct. Biol. 2013) at low dose rate, where DQE(0) is
  0.79; two published fits to them agree within 0.02. A counting detector's noise is nearly white, by which the DQE is
  ``DQE(0) MTF^2``; so it ends below that of the Falcon II (0.2), as McMullan et al. found (Ultramicroscopy 2014).
- ``k3`` (counting, correlated double sampling): Gatan's MTF (mtf_k3_standard_300kV) and DQE curve.
- ``falcon4``: the DQE of Thermo Fisher's data sheet; its MTF is not in it and taken as ``sqrt(DQE / DQE(0))``.

Coincidence loss, which lowers the DQE at high dose rates and thins the noise at low frequencies, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    DetectorKind = Literal["k2", "k3", "falcon4", "ideal"]


@dataclass(frozen=True)
class _Curves:
    """Fit of a detector: MTF and DQE at half and at the whole Nyquist frequency, and DQE at 0."""

    mtf_half: float
    mtf_nyquist: float
    dqe_zero: float
    dqe_half: float
    dqe_nyquist: float


_CURVES: Final[Mapping[str, _Curves]] = MappingProxyType(
    {
        "k2": _Curves(0.86, 0.48, 0.79, 0.585, 0.182),
        "k3": _Curves(0.889, 0.636, 0.95, 0.71, 0.40),
        "falcon4": _Curves(0.885, 0.737, 0.92, 0.72, 0.50),
    }
)


def mtf(kind: DetectorKind, frequency_cycles_per_pixel: ArrayLike) -> NDArray[np.float64]:
    """Return the modulation transfer function, 1 at frequency 0.

    Parameters
    ----------
    kind
        Detector.
    frequency_cycles_per_pixel
        Spatial frequencies in cycles per physical pixel (0.5 is Nyquist), any shape.
    """
    frequency = np.abs(np.asarray(frequency_cycles_per_pixel, np.float64))
    if kind == "ideal":
        return np.ones_like(frequency)
    curves = _CURVES[kind]
    return _fall(frequency, curves.mtf_half, curves.mtf_nyquist)


def dqe(kind: DetectorKind, frequency_cycles_per_pixel: ArrayLike) -> NDArray[np.float64]:
    """Return the detective quantum efficiency; parameters as in :func:`mtf`."""
    frequency = np.abs(np.asarray(frequency_cycles_per_pixel, np.float64))
    if kind == "ideal":
        return np.ones_like(frequency)
    curves = _CURVES[kind]
    zero = curves.dqe_zero
    return zero * _fall(frequency, curves.dqe_half / zero, curves.dqe_nyquist / zero)


def noise_transfer(kind: DetectorKind, frequency_cycles_per_pixel: ArrayLike) -> NDArray[np.float64]:
    """Return the amplitude of recorded noise over that of the Poisson noise of the electrons that arrive.

    From the definition ``DQE = MTF^2 / (n NPS)``: an image with ``n`` electrons per pixel, scaled to count every
    electron, has the noise power ``n MTF^2 / DQE``; this is the root of ``MTF^2 / DQE``. Parameters as in :func:`mtf`.
    """
    frequency = np.asarray(frequency_cycles_per_pixel, np.float64)
    transfer: NDArray[np.float64] = mtf(kind, frequency) / np.sqrt(dqe(kind, frequency))
    return transfer


def cycles_per_physical_pixel(
    frequency_per_angstrom: ArrayLike, physical_pixel_size_angstrom: float
) -> NDArray[np.float64]:
    """Return frequencies in cycles per physical pixel.

    An image binned by Fourier cropping from pixels of ``p`` Å to pixels of ``b`` Å holds frequencies up to
    ``1 / (2 b)``, and of the detector's curves only the part up to ``p / (2 b)``.

    Parameters
    ----------
    frequency_per_angstrom
        Spatial frequencies in 1/Å at the specimen, any shape.
    physical_pixel_size_angstrom
        Physical pixel of the detector referred to the specimen, in Å.
    """
    return np.asarray(frequency_per_angstrom, np.float64) * physical_pixel_size_angstrom


def _fall(frequency: NDArray[np.float64], at_half: float, at_nyquist: float) -> NDArray[np.float64]:
    """Return ``exp(-(f / w)^p)`` through two values, given at 0.25 and 0.5 cycles per pixel."""
    power = np.log(np.log(at_nyquist) / np.log(at_half)) / np.log(2.0)
    value: NDArray[np.float64] = np.exp(np.log(at_nyquist) * (frequency / 0.5) ** power)
    return value
