"""Counting of electrons by a detector.

An image counts ``DQE(0)`` of the electrons that arrive. Its signal is multiplied by the MTF, and the Poisson noise of
its counts by ``NTF = MTF (DQE(0) / DQE)^(1/2)``, so that the power of the noise is flat for a detector whose DQE falls
as ``MTF^2``, and the ratio of signal to noise is what ``DQE`` says at every frequency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from cryosiam.simulation.microscope.detector import cycles_per_physical_pixel, dqe, noise_transfer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import DetectorSpec


def counted_share(detector: DetectorSpec) -> float:
    """Return the share of the electrons that are counted: ``DQE(0)``."""
    return float(dqe(detector.kind, 0.0))


def noise_filter(
    detector: DetectorSpec, frequency_per_angstrom: NDArray[np.float64], pixel_size_angstrom: float
) -> NDArray[np.float32]:
    """Return the noise transfer function, 1 at frequency 0, in images binned from the detector's own pixels.

    Parameters
    ----------
    detector
        Kind, and physical pixel referred to the specimen.
    frequency_per_angstrom
        Spatial frequencies, any shape.
    pixel_size_angstrom
        Pixel of the image; the physical pixel where the detector names none.
    """
    physical = detector.pixel_size_angstrom or pixel_size_angstrom
    cycles = cycles_per_physical_pixel(frequency_per_angstrom, physical)
    transfer: NDArray[np.float64] = noise_transfer(detector.kind, cycles) * np.sqrt(counted_share(detector))
    return transfer.astype(np.float32)


def count(
    expected: NDArray[np.float32], transfer: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Count electrons.

    Parameters
    ----------
    expected
        ``(y, u)`` electrons expected in each pixel, none negative.
    transfer
        Of the noise, on the grid of ``numpy.fft.rfft2``.
    rng
        Source of randomness.

    Returns
    -------
    NDArray
        ``(y, u)`` image: what is expected and filtered Poisson noise.
    """
    counts = rng.poisson(expected)
    return expected + _filtered(counts - expected, transfer)


def count_halves(
    expected: NDArray[np.float32], transfer: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Count electrons in even and in odd frames; parameters as in :func:`count`.

    Each electron falls into one of the halves by chance, which makes them independent Poisson counts. The sum of both
    images is that of :func:`count` with the same generator, but for rounding.
    """
    counts = rng.poisson(expected)
    even = rng.binomial(counts, 0.5)
    half = expected * np.float32(0.5)
    return half + _filtered(even - half, transfer), half + _filtered(counts - even - half, transfer)


def _filtered(noise: NDArray[np.floating], transfer: NDArray[np.float32]) -> NDArray[np.float32]:
    shape = (noise.shape[0], noise.shape[1])
    shaped = fft.irfft2(fft.rfft2(noise.astype(np.float32)) * transfer, s=shape)
    return shaped.astype(np.float32, copy=False)
