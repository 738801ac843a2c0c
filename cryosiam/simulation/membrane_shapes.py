"""Draw the shapes of membranes: vesicles, closed irregular bodies, undulating sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial.transform import Rotation

from cryosiam.simulation.surfaces import Surface

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VESICLE_AXES: Final = 0.05
_VESICLE_STRAIN: Final = 0.18
_IRREGULAR_AXES: Final = 0.2
_IRREGULAR_STRAIN: Final = 0.95
_IRREGULAR_STAGES: Final = 4
_SHEET_STRAIN: Final = (0.3, 0.9)
_SHEET_WAVES_ANGSTROM: Final = (900.0, 6000.0)
_SHEET_LEAN_RAD: Final = 0.5


def vesicle(centre_angstrom: NDArray[np.float64], diameter_angstrom: float, rng: np.random.Generator) -> Surface:
    """Return a nearly round closed surface: an ellipsoid with axes within some percent, and shallow undulations.

    Parameters
    ----------
    centre_angstrom
        ``(3,)`` (x, y, z).
    diameter_angstrom
        Of the sphere of equal volume, at the middle of the bilayer.
    rng
        Source of randomness.
    """
    waves = _waves(1, 6, (0.8 * diameter_angstrom, 2.0 * diameter_angstrom), _VESICLE_STRAIN, rng)
    return _closed(centre_angstrom, diameter_angstrom, _VESICLE_AXES, waves, rng)


def irregular(centre_angstrom: NDArray[np.float64], diameter_angstrom: float, rng: np.random.Generator) -> Surface:
    """Return a strongly bent closed surface, of the topology of a sphere; parameters as of :func:`vesicle`."""
    lengths = (0.6 * diameter_angstrom, 2.0 * diameter_angstrom)
    waves = _waves(_IRREGULAR_STAGES, 4, lengths, _IRREGULAR_STRAIN, rng)
    return _closed(centre_angstrom, diameter_angstrom, _IRREGULAR_AXES, waves, rng)


def sheet(through_angstrom: NDArray[np.float64], rng: np.random.Generator) -> Surface:
    """Return an undulating sheet about a point (x, y, z), steep to the image plane as those that tomograms show.

    Each decade of wavelengths bends it by the same angle, as thermal undulations do: the amplitude of a mode q
    falls as 1 / q² (Helfrich, Z. Naturforsch. C 28, 693, 1973), and there are more modes at large q.
    """
    azimuth, lean = rng.uniform(0, 2 * np.pi), rng.uniform(-_SHEET_LEAN_RAD, _SHEET_LEAN_RAD)
    normal = np.array([np.cos(lean) * np.cos(azimuth), np.cos(lean) * np.sin(azimuth), np.sin(lean)])
    waves = _waves(1, 10, _SHEET_WAVES_ANGSTROM, rng.uniform(*_SHEET_STRAIN), rng, normal)
    frame = np.zeros((3, 3))
    frame[0] = normal
    return Surface(False, np.asarray(through_angstrom, np.float64), frame, 1.0, waves)


def _closed(
    centre_angstrom: NDArray[np.float64],
    diameter_angstrom: float,
    axes_spread: float,
    waves: NDArray[np.float64],
    rng: np.random.Generator,
) -> Surface:
    logs = rng.normal(0, axes_spread, 3)
    radii = diameter_angstrom / 2 * np.exp(logs - logs.mean())
    turn = Rotation.random(rng=rng).as_matrix()
    radius = diameter_angstrom / 2
    centre = np.asarray(centre_angstrom, np.float64)
    for stage in waves:
        # The warp carries the centre along; following it keeps the shape where it was asked for.
        centre = centre + np.sin(stage[:, 3:6] @ centre + stage[:, 6]) @ stage[:, :3]
    return Surface(True, centre, turn / radii[:, None], radius, waves)


def _waves(
    stages: int,
    count: int,
    wavelengths_angstrom: tuple[float, float],
    strain: float,
    rng: np.random.Generator,
    along: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return transverse waves of random wavelength (uniform in its logarithm), direction and phase.

    Transverse, because such a wave keeps volume. ``strain`` is the sum of ``|a| |q|`` in a stage, spread at random.
    With ``along``, all displace along that direction.
    """
    waves = np.zeros((stages, count, 7))
    low, high = (float(np.log(one)) for one in wavelengths_angstrom)
    lengths = np.exp(rng.uniform(low, high, (stages, count)))
    shares = rng.dirichlet(np.full(count, 4.0), stages)
    for stage in range(stages):
        for k in range(count):
            direction = rng.standard_normal(3) if along is None else along
            across = np.cross(direction, rng.standard_normal(3))
            steepness = 2 * np.pi / lengths[stage, k]
            waves[stage, k, :3] = direction / np.linalg.norm(direction) * strain * shares[stage, k] / steepness
            waves[stage, k, 3:6] = across / np.linalg.norm(across) * steepness
            waves[stage, k, 6] = rng.uniform(0, 2 * np.pi)
    return waves
