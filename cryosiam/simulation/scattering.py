"""Potential of atoms over that of the ice they displace, on a grid of any voxel size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy import fft

from cryosiam.simulation.species import SMOOTHING_VOXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

POTENTIAL_PER_SCATTERING: Final = 47.878
"""Volt Å³ per Å of electron scattering factor at zero angle (h^2 / 2 pi m e)."""

ICE_POTENTIAL_VOLT: Final = 4.53
"""Mean inner potential of vitreous ice."""

PROTEIN_CONTRAST_VOLT: Final = 3.4
"""Mean inner potential of protein above that of ice: the unit of all densities here."""

_OVERSAMPLING: Final = 2
_ROLL_OFF_FROM: Final = 0.8


@dataclass(frozen=True)
class AtomKind:
    """Atoms that scatter alike.

    Parameters
    ----------
    amplitudes, widths
        Electron scattering factor ``sum a exp(-b s^2)`` with ``s = k / 2``: ``a`` in Å, ``b`` in Å² (Peng et al.,
        Acta Cryst. A52 (1996), 257-276; International Tables C, 4.3.2.2).
    solvent_volume_a3
        Ice that one atom displaces, with the hydrogens bound to it.
    """

    amplitudes: tuple[float, ...]
    widths: tuple[float, ...]
    solvent_volume_a3: float

    @property
    def contrast_volt_a3(self) -> float:
        """Integral of one atom's potential over that of ice."""
        return POTENTIAL_PER_SCATTERING * sum(self.amplitudes) - ICE_POTENTIAL_VOLT * self.solvent_volume_a3


def potential_of_atoms(
    atoms: Sequence[tuple[AtomKind, NDArray[np.float64], NDArray[np.float64]]],
    edge_voxels: int,
    voxel_size_angstrom: float,
    b_factor: float = 0.0,
) -> NDArray[np.float32]:
    """Compute the density of atoms about the middle of a cube, exact below its Nyquist frequency.

    Each kind's atoms are spread with cubic B-splines on a finer grid, whose transform is divided by the spline's and
    multiplied by the kind's form factor minus a Gaussian of displaced ice (Fraser, MacRae and Suzuki, J. Appl. Cryst.
    11 (1978), 693-694). A Gaussian of :data:`~cryosiam.simulation.species.SMOOTHING_VOXELS`, ended smoothly at
    Nyquist, limits the sum to the voxel size, so the integral and, within a fraction of a percent, the power depend
    on neither grid nor voxel size.

    Parameters
    ----------
    atoms
        Kinds, with ``(n, 3)`` positions (x, y, z) in Å from the cube's middle voxel, and ``(n,)`` occupancies.
    edge_voxels
        Odd edge of the cube; atoms lie inside.
    voxel_size_angstrom
        Voxel wanted.
    b_factor
        Of all atoms, in Å².

    Returns
    -------
    NDArray
        ``(edge, edge, edge)`` float32 (z, y, x), bulk protein = 1, ice = 0. Its sum times the voxel's volume is the
        sum of the atoms' :attr:`AtomKind.contrast_volt_a3` over :data:`PROTEIN_CONTRAST_VOLT`.
    """
    edge = _transform_edge(edge_voxels)
    fine_edge = _OVERSAMPLING * edge
    step = voxel_size_angstrom / _OVERSAMPLING
    k2, limit, spline = _frequencies(edge, voxel_size_angstrom)
    spectrum = np.zeros(k2.shape, np.complex64)
    for kind, positions, occupancies in atoms:
        fine = np.zeros((fine_edge,) * 3, np.float32)
        _spread(fine, positions / step + _OVERSAMPLING * (edge // 2), occupancies)
        spectrum += _cropped(fft.rfftn(fine, overwrite_x=True), edge) * _form_factor(kind, k2, b_factor)
    spectrum *= (limit / spline).astype(np.float32)
    volume = fft.irfftn(spectrum, s=(edge,) * 3, overwrite_x=True)
    # The transform sums over atoms, so each voxel now holds its share of that sum.
    volume *= np.float32(1 / (voxel_size_angstrom**3 * PROTEIN_CONTRAST_VOLT))
    start = edge // 2 - edge_voxels // 2
    inner = slice(start, start + edge_voxels)
    return np.ascontiguousarray(volume[inner, inner, inner])


def _transform_edge(edge: int) -> int:
    """Return the least odd edge that is not smaller and has small prime factors only."""
    while True:
        rest = edge
        for prime in (3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return edge
        edge += 2 if edge % 2 else 1


def _frequencies(
    edge: int, voxel_size_angstrom: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return squared frequency (1/Å²), the low-pass to the voxel size and the B-spline's transform, half-complex."""
    along = fft.fftfreq(edge)
    half = fft.rfftfreq(edge)
    cycles2 = along[:, None, None] ** 2 + along[None, :, None] ** 2 + half[None, None, :] ** 2
    to_nyquist = np.clip((2 * np.sqrt(cycles2) - _ROLL_OFF_FROM) / (1 - _ROLL_OFF_FROM), 0, 1)
    limit = np.exp(-2 * np.pi**2 * SMOOTHING_VOXELS**2 * cycles2) * np.cos(np.pi / 2 * to_nyquist) ** 2
    wide, narrow = np.sinc(along / _OVERSAMPLING) ** 4, np.sinc(half / _OVERSAMPLING) ** 4
    spline = wide[:, None, None] * wide[None, :, None] * narrow[None, None, :]
    return (cycles2 / voxel_size_angstrom**2).astype(np.float32), limit.astype(np.float32), spline.astype(np.float32)


def _form_factor(kind: AtomKind, k2: NDArray[np.float32], b_factor: float) -> NDArray[np.float32]:
    """Return one atom's transform in volt Å³: Gaussians of potential minus one of displaced ice."""
    factor = np.zeros_like(k2)
    for amplitude, width in zip(kind.amplitudes, kind.widths, strict=True):
        factor += np.float32(POTENTIAL_PER_SCATTERING * amplitude) * np.exp(np.float32(-(width + b_factor) / 4) * k2)
    ice = np.float32(ICE_POTENTIAL_VOLT * kind.solvent_volume_a3)
    radius2 = np.pi * kind.solvent_volume_a3 ** (2 / 3)
    factor -= ice * np.exp(np.float32(-(radius2 + b_factor / 4)) * k2)
    return factor


def _cropped(spectrum: NDArray[np.complex64], edge: int) -> NDArray[np.complex64]:
    """Keep the frequencies that an odd grid of ``edge`` voxels holds."""
    positive, negative = edge // 2 + 1, edge // 2
    rows = np.concatenate([spectrum[:positive], spectrum[-negative:]])
    kept: NDArray[np.complex64] = np.concatenate([rows[:, :positive], rows[:, -negative:]], 1)[:, :, :positive]
    return kept


@njit(cache=True, nogil=True)
def _spread(
    grid: NDArray[np.float32], positions: NDArray[np.float64], weights: NDArray[np.float64]
) -> None:  # pragma: no cover - compiled
    """Add cubic B-splines at fractional indices (x, y, z); outside, the grid goes round."""
    edge = grid.shape[0]
    parts = np.zeros((3, 4))
    first = np.zeros(3, np.int64)
    for atom in range(len(positions)):
        for axis in range(3):
            place = positions[atom, axis]
            base = int(np.floor(place))
            t = place - base
            first[axis] = base - 1
            parts[axis, 0] = (1 - t) ** 3 / 6
            parts[axis, 1] = (3 * t**3 - 6 * t**2 + 4) / 6
            parts[axis, 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
            parts[axis, 3] = t**3 / 6
        for c in range(4):
            for b in range(4):
                weight = weights[atom] * parts[2, c] * parts[1, b]
                z, y = (first[2] + c) % edge, (first[1] + b) % edge
                for a in range(4):
                    grid[z, y, (first[0] + a) % edge] += weight * parts[0, a]
