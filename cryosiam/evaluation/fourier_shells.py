"""Fourier shell correlation of two volumes that need not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Volume

HALF: Final = 0.5
"""Threshold where noise and signal are equal in a comparison with a perfect reference."""

GOLD_STANDARD: Final = 0.143
"""Threshold of Rosenthal and Henderson 2003, made for two noisy halves; given because it is asked for."""

WORK_BYTES: Final = 128 * 2**20
"""Bound on the transforms held at a time; larger volumes take more passes."""

_SLAB: Final = 8


@dataclass(frozen=True)
class FourierShells:
    """Fourier shell correlation.

    Parameters
    ----------
    frequency_per_angstrom
        ``(s,)`` spatial frequency of each shell, from 0 to Nyquist.
    correlation
        ``(s,)`` correlation; NaN in a shell without power.
    voxel_size_angstrom
        Of the volumes.
    """

    frequency_per_angstrom: NDArray[np.float64]
    correlation: NDArray[np.float64]
    voxel_size_angstrom: float

    def resolution_angstrom(self, threshold: float) -> float:
        """Return where the curve falls below a threshold: after its highest value, by straight lines between shells.

        Below its highest value, a reconstruction lacks low frequencies that the microscope does not transfer; that is
        not its resolution. The shell at frequency 0 is left out. Twice the voxel size where the curve stays above;
        NaN where it never is.
        """
        curve = np.nan_to_num(self.correlation[1:], nan=0.0)
        frequency = self.frequency_per_angstrom[1:]
        top = int(curve.argmax())
        if curve[top] < threshold:
            return float("nan")
        below = np.flatnonzero(curve[top:] < threshold)
        if not len(below):
            return 2 * self.voxel_size_angstrom
        after = top + int(below[0])
        share = (curve[after - 1] - threshold) / (curve[after - 1] - curve[after])
        return float(1 / (frequency[after - 1] + share * (frequency[after] - frequency[after - 1])))


def fourier_shell_correlation(
    first: Volume, second: Volume, voxel_size_angstrom: float, work_bytes: int = WORK_BYTES
) -> FourierShells:
    """Correlate two volumes shell by shell: ``Re sum(F1 conj(F2)) / sqrt(sum |F1|² sum |F2|²)``.

    After Harauz and van Heel 1986. The whole volumes are compared, without mask or taper. Shells are as thick as the
    coarsest sampling in Fourier space, one over the shortest side, and reach to Nyquist.

    Parameters
    ----------
    first, second
        Of the same shape.
    voxel_size_angstrom
        Of both.
    work_bytes
        Bound on the memory for transforms.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if tuple(first.shape) != tuple(second.shape):
        raise ValueError(f"the volumes are {tuple(first.shape)} and {tuple(second.shape)}")
    shape = first.shape
    columns = shape[2] // 2 + 1
    width = max(1, work_bytes // (2 * 8 * shape[0] * shape[1]))
    shells = min(shape) // 2 + 1
    sums = np.zeros((3, shells))
    for start in range(0, columns, width):
        part = slice(start, min(start + width, columns))
        _accumulate(sums, _transform(first, part), _transform(second, part), shape, part)
    power = np.sqrt(sums[1] * sums[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(power > 0, sums[0] / power, np.nan)
    frequency = np.arange(shells) / min(shape) / voxel_size_angstrom
    return FourierShells(frequency, correlation, voxel_size_angstrom)


def _transform(volume: Volume, columns: slice) -> NDArray[np.complex64]:
    """Return some columns along x of the volume's half transform, ``(z, y, columns)``."""
    depth, height, width = volume.shape
    result = np.empty((depth, height, columns.stop - columns.start), np.complex64)
    for z in range(0, depth, _SLAB):
        slab = volume.read((slice(z, min(z + _SLAB, depth)), slice(0, height), slice(0, width)))
        result[z : z + _SLAB] = fft.fft(fft.rfft(slab, axis=2)[:, :, columns], axis=1)
    return np.asarray(fft.fft(result, axis=0, overwrite_x=True), np.complex64)


def _accumulate(
    sums: NDArray[np.float64],
    a: NDArray[np.complex64],
    b: NDArray[np.complex64],
    shape: tuple[int, int, int],
    columns: slice,
) -> None:
    """Add cross power and both powers of every shell to ``sums``, plane by plane."""
    shells = sums.shape[1]
    kz, ky = fft.fftfreq(shape[0]), fft.fftfreq(shape[1])[:, None]
    kx = fft.rfftfreq(shape[2])[columns]
    # A real volume's other half is the mirror image; only the columns at 0 and Nyquist have none.
    twice = np.where((kx == 0) | (kx == HALF), 1.0, 2.0)
    for plane in range(shape[0]):
        radius = np.sqrt(kz[plane] ** 2 + ky**2 + kx**2)
        shell = np.rint(radius * min(shape)).astype(np.int64)
        inside = shell < shells
        weight = np.broadcast_to(twice, shell.shape)[inside]
        one, two = a[plane][inside].astype(np.complex128), b[plane][inside].astype(np.complex128)
        for row, value in enumerate(((one * two.conj()).real, np.abs(one) ** 2, np.abs(two) ** 2)):
            sums[row] += np.bincount(shell[inside], weights=weight * value, minlength=shells)
