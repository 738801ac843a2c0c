"""Density under the particles against the density where they would be after a common mistake.

The contrast of a place is the mean density of a small ball less that of the shell around it. The contrasts of all
particles are compared with those of places chosen by chance a few radii beside them, at the same height, by the test of
Mann and Whitney; its z is large where particles are, of either contrast, and about 0 elsewhere. A mistake is reported
where the particles as the program reads them show next to nothing and one alternative shows much: the numbers come from
``benchmarks/check.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.geometry import indices_from_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.integrations.star.check.volumes import OpenVolume

AS_READ: Final = "as they are"
ENOUGH: Final = 6.0
"""z from which an alternative counts."""
TOO_LITTLE: Final = 3.0
"""z below which the particles as read count as showing nothing."""
AHEAD: Final = 4.0
"""How much the alternative's z must be above that of the particles as read."""
_MOST_PARTICLES: Final = 300
_MOST_SAMPLES: Final = 150
_CONTROLS: Final = 3
_RADII_ANGSTROM: Final = (35.0, 70.0, 120.0)
_TIMES: Final = "multiplied by "
FEWEST: Final = 20
"""Fewer particles far enough inside say nothing."""


@dataclass(frozen=True)
class Evidence:
    """How much density a reading of the coordinates finds.

    Parameters
    ----------
    reading
        What was done to the places.
    z
        Of Mann and Whitney, positive for particles brighter than what is around them.
    share
        Probability that a particle has more contrast, of that sign, than a place beside it.
    count
        Number of particles that lie far enough inside to be measured.
    """

    reading: str
    z: float
    share: float
    count: int

    @property
    def factor(self) -> float | None:
        """What coordinates were multiplied by, where that was done."""
        return float(self.reading.removeprefix(_TIMES)) if self.reading.startswith(_TIMES) else None

    @property
    def strength(self) -> float:
        """Size of z."""
        return abs(self.z)


@dataclass(frozen=True)
class Particles:
    """Particles of one tomogram.

    Parameters
    ----------
    volume
        The tomogram.
    positions_angstrom
        ``(n, 3)`` places (x, y, z) in Å as the program reads them.
    from_centre
        True where the coordinates are counted from the centre.
    binning
        Voxel size over the pixel size of the tilt series.
    pixel_size_angstrom
        Pixel size of the tilt series.
    """

    volume: OpenVolume
    positions_angstrom: NDArray[np.float64]
    from_centre: bool
    binning: float
    pixel_size_angstrom: float

    @property
    def readings(self) -> Mapping[str, NDArray[np.float64]]:
        """Places (x, y, z) in voxels by the name of what was done to them; the first is as they are."""
        voxels = indices_from_positions(self.positions_angstrom, self.volume.voxel_size_angstrom)[:, ::-1]
        size = np.array(self.volume.size_xyz, dtype=np.float64)
        centre = size / 2.0 if self.from_centre else np.zeros(3)
        found = {
            AS_READ: voxels,
            "moved by half the tomogram's size towards 0": voxels - size / 2.0,
            "moved by half the tomogram's size away from 0": voxels + size / 2.0,
        }
        for factor in self._factors:
            found[f"{_TIMES}{factor:.6g}"] = (voxels - centre) * factor + centre
        for axes in ("x", "y", "z", "xy", "xz", "yz"):
            found[f"mirrored along {' and '.join(axes)}"] = _mirrored(voxels, size, axes)
        for first, second in ("xy", "xz", "yz"):
            found[f"with {first} and {second} exchanged"] = _exchanged(voxels, first, second)
        found["turned by 90 degrees about x"] = _mirrored(_exchanged(voxels, "y", "z"), size, "z")
        found["turned by -90 degrees about x"] = _mirrored(_exchanged(voxels, "y", "z"), size, "y")
        return found

    @property
    def _factors(self) -> list[float]:
        factors = [2.0, 4.0, self.binning, self.pixel_size_angstrom, self.volume.voxel_size_angstrom]
        wanted = [value for factor in factors for value in (factor, 1 / factor)]
        return [value for at, value in enumerate(wanted) if not _is_among(value, [1.0, *wanted[:at]])]


def _is_among(value: float, others: Sequence[float]) -> bool:
    return any(abs(value / other - 1) < 0.02 for other in others)


def _mirrored(voxels: NDArray[np.float64], size: NDArray[np.float64], axes: str) -> NDArray[np.float64]:
    turned = voxels.copy()
    for axis in ("xyz".index(name) for name in axes):
        turned[:, axis] = size[axis] - 1 - turned[:, axis]
    return turned


def _exchanged(voxels: NDArray[np.float64], first: str, second: str) -> NDArray[np.float64]:
    order = ["xyz".replace(first, "_").replace(second, first).replace("_", second).index(name) for name in "xyz"]
    return voxels[:, order]


def weigh(sets: Sequence[Particles], seed: int = 0) -> list[Evidence]:
    """Return the evidence for every reading of the coordinates, as read first; empty where too few can be measured.

    Parameters
    ----------
    sets
        Particles of each tomogram; contrasts of all are put together.
    seed
        Of what is chosen by chance.
    """
    chosen = [_some(particles, seed) for particles in sets]
    names = dict.fromkeys(name for particles in chosen for name in particles.readings)
    found = [_evidence(name, chosen, seed) for name in names]
    return found if any(evidence.count >= FEWEST for evidence in found) else []


def likely_mistake(found: Sequence[Evidence]) -> Evidence | None:
    """Return the alternative that the density speaks for, or None where the evidence is not strong."""
    if not found:
        return None
    as_read, *others = found
    best = max(others, key=lambda evidence: evidence.strength, default=None)
    seen = as_read.strength if as_read.count >= FEWEST else 0.0
    if best is None or best.count < FEWEST or seen >= TOO_LITTLE:
        return None
    return best if best.strength >= max(ENOUGH, seen + AHEAD) else None


def _some(particles: Particles, seed: int) -> Particles:
    count = len(particles.positions_angstrom)
    if count <= _MOST_PARTICLES:
        return particles
    rows = np.random.default_rng(seed).choice(count, _MOST_PARTICLES, replace=False)
    return Particles(
        particles.volume,
        particles.positions_angstrom[np.sort(rows)],
        particles.from_centre,
        particles.binning,
        particles.pixel_size_angstrom,
    )


def _evidence(name: str, sets: Sequence[Particles], seed: int) -> Evidence:
    best = Evidence(name, 0.0, 0.5, 0)
    for radius in _RADII_ANGSTROM:
        rng = np.random.default_rng(seed)
        pairs = [_contrasts(particles, name, radius, rng) for particles in sets if name in particles.readings]
        here = np.concatenate([pair[0] for pair in pairs]) if pairs else np.empty(0)
        beside = np.concatenate([pair[1] for pair in pairs]) if pairs else np.empty(0)
        found = _compared(name, here, beside)
        if found.count >= FEWEST and (found.strength > best.strength or not best.count):
            best = found
    return best


def _compared(name: str, here: NDArray[np.float64], beside: NDArray[np.float64]) -> Evidence:
    """Return z of the rank sum of ``here`` among both."""
    m, n = len(here), len(beside)
    if m == 0 or n == 0:
        return Evidence(name, 0.0, 0.5, m)
    order = np.argsort(np.concatenate([here, beside]), kind="stable")
    ranks = np.empty(m + n)
    ranks[order] = np.arange(1, m + n + 1)
    share = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    z = (share - 0.5) * m * n / np.sqrt(m * n * (m + n + 1) / 12)
    return Evidence(name, float(z), float(max(share, 1 - share)), m)


def _contrasts(
    particles: Particles, name: str, radius_angstrom: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the contrasts of the particles and of places beside them, over the spread of the latter."""
    volume = particles.volume
    radius = max(1.5, radius_angstrom / volume.voxel_size_angstrom)
    ball, shell = _ball(radius, rng)
    here = _inside(particles.readings[name], volume, radius)
    beside = _inside(_beside(here, radius, rng), volume, radius)
    if not len(here) or not len(beside):
        return np.empty(0), np.empty(0)
    around = _contrast(volume, beside, ball, shell)
    spread = float(np.subtract(*np.percentile(around, [75, 25]))) or 1.0
    return _contrast(volume, here, ball, shell) / spread, around / spread


def _ball(radius: float, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return offsets (z, y, x) of voxels in a ball and in the shell around it, no more than are needed."""
    reach = int(np.ceil(2.2 * radius))
    grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.linalg.norm(grid, axis=1)
    parts = (grid[distances <= radius], grid[(distances > 1.4 * radius) & (distances <= 2.2 * radius)])
    ball, shell = (
        part if len(part) <= _MOST_SAMPLES else part[rng.choice(len(part), _MOST_SAMPLES, replace=False)]
        for part in parts
    )
    return ball, shell


def _inside(voxels: NDArray[np.float64], volume: OpenVolume, radius: float) -> NDArray[np.float64]:
    """Return the places whose shell lies in the volume."""
    margin = 2.2 * radius + 1
    with np.errstate(invalid="ignore"):
        kept = ((voxels >= margin) & (voxels <= np.array(volume.size_xyz) - 1 - margin)).all(axis=1)
    flat = np.array(volume.size_xyz) <= 2 * margin
    if flat.any():
        return np.empty((0, 3))
    return voxels[kept]


def _beside(voxels: NDArray[np.float64], radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return places three to six radii beside each one, at nearly the same height."""
    places = np.repeat(voxels, _CONTROLS, axis=0)
    angles = rng.uniform(0, 2 * np.pi, len(places))
    distances = rng.uniform(3, 6, len(places)) * radius
    steps = np.stack([np.cos(angles) * distances, np.sin(angles) * distances, rng.uniform(-1, 1, len(places))], axis=1)
    return places + steps


def _contrast(
    volume: OpenVolume, voxels: NDArray[np.float64], ball: NDArray[np.int64], shell: NDArray[np.int64]
) -> NDArray[np.float64]:
    middle = np.rint(voxels[:, ::-1]).astype(np.int64)
    return _mean(volume, middle, ball) - _mean(volume, middle, shell)


def _mean(volume: OpenVolume, middle: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    z, y, x = (middle[:, None, :] + offsets[None, :, :]).reshape(-1, 3).T
    values = np.asarray(volume.voxels[z, y, x], dtype=np.float64)
    return np.asarray(values.reshape(len(middle), len(offsets)).mean(axis=1))
