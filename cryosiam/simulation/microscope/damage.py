"""Radiation damage by the critical exposure of Grant and Grigorieff (eLife 2015, 4:e06980)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_LOWEST_FREQUENCY: Final = 1e-4
"""1/Å: below it, the critical exposure (over 10^6) is taken as that of this frequency."""


def critical_exposure(frequency_per_angstrom: ArrayLike, voltage_kv: float = 300.0) -> NDArray[np.float64]:
    """Return the exposure in electrons per Å² after which the signal's power has fallen to 1/e.

    ``0.245 k^-1.665 + 2.81`` at 300 kV, as they measured. Other voltages scale it by the square of the electron's
    speed, since the energy that an electron leaves behind goes nearly with the inverse of that: 0.80 at 200 kV.

    Parameters
    ----------
    frequency_per_angstrom
        Spatial frequencies in 1/Å, any shape.
    voltage_kv
        Acceleration voltage.
    """
    k = np.maximum(np.asarray(frequency_per_angstrom, np.float64), _LOWEST_FREQUENCY)
    exposure: NDArray[np.float64] = (0.245 * k**-1.665 + 2.81) * (_speed_squared(voltage_kv) / _speed_squared(300.0))
    return exposure


def signal_left(
    frequency_per_angstrom: ArrayLike, prior_dose: ArrayLike, dose: ArrayLike, voltage_kv: float = 300.0
) -> NDArray[np.float64]:
    """Return the share of the signal's amplitude that an exposure records, averaged over the exposure.

    The mean of ``exp(-N / (2 Nc))`` while the dose ``N`` grows from ``prior_dose`` to ``prior_dose + dose``.

    Parameters
    ----------
    frequency_per_angstrom
        Spatial frequencies in 1/Å, broadcast against the doses.
    prior_dose, dose
        Electrons per Å² before the exposure and of the exposure; the latter may be 0.
    voltage_kv
        Acceleration voltage.
    """
    twice = 2 * critical_exposure(frequency_per_angstrom, voltage_kv)
    spread = np.asarray(dose, np.float64) / twice
    # (1 - exp(-s)) / s goes to 1 with s.
    averaged = np.where(spread > 1e-12, -np.expm1(-spread) / np.where(spread > 1e-12, spread, 1.0), 1.0)
    left: NDArray[np.float64] = np.exp(-np.asarray(prior_dose, np.float64) / twice) * averaged
    return left


def dose_weights(
    frequency_per_angstrom: ArrayLike, prior_dose: ArrayLike, dose: float, voltage_kv: float = 300.0
) -> NDArray[np.float64]:
    """Return the weights that give a sum of exposures its best signal-to-noise ratio, at constant noise.

    Each exposure is weighted by the signal left in it, as their exposure filter does with the dose at the end of the
    exposure where we take the average over it, and divided by the root mean square over the exposures: at every
    frequency the summed power of white noise is what it is without weights, as they restore it.

    Parameters
    ----------
    frequency_per_angstrom
        Spatial frequencies in 1/Å, any shape.
    prior_dose
        ``(n,)`` electrons per Å² before each exposure.
    dose
        Electrons per Å² of one exposure.
    voltage_kv
        Acceleration voltage.

    Returns
    -------
    NDArray
        ``(n, *frequency shape)``; the mean of the squares over the exposures is 1.
    """
    frequency = np.asarray(frequency_per_angstrom, np.float64)
    prior = np.asarray(prior_dose, np.float64).reshape(-1, *(1,) * frequency.ndim)
    # Relative to the least dosed exposure, so that nothing underflows where little signal is left.
    left = signal_left(frequency, prior - prior.min(), dose, voltage_kv)
    weights: NDArray[np.float64] = left / np.sqrt(np.mean(left**2, axis=0))
    return weights


def _speed_squared(voltage_kv: float) -> float:
    """Return the square of an electron's speed, in units of that of light."""
    return 1.0 - (1.0 + voltage_kv / 510.99895) ** -2
