"""Backgrounds made of real tomograms: by their power spectrum with random phases, or as a piece as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import fft

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LEAST_VOXELS: Final = 32
_BLOCK_VOXELS: Final = 64
_MOST_BLOCKS_PER_AXIS: Final = 4
_COARSEST: Final = 1.5
"""A real tomogram's voxel may be so many times as large as the simulated one's."""


@dataclass(frozen=True)
class Background:
    """A real tomogram that backgrounds are made of.

    Parameters
    ----------
    path
        MRC file.
    voxels
        ``(z, y, x)``, mapped from the file.
    voxel_size_angstrom
        Edge of the voxel.
    """

    path: Path
    voxels: NDArray[Any]
    voxel_size_angstrom: float

    @classmethod
    def read(cls, path: Path) -> Background:
        """Open and check a real tomogram.

        Raises
        ------
        InputError
            If it is no MRC volume, too small, states no voxel size, or holds NaN or the same value everywhere.
        """
        import mrcfile

        try:
            file = mrcfile.mmap(path, mode="r", permissive=False)
        except (OSError, ValueError, RuntimeError, EOFError) as problem:
            reason = " ".join(str(problem).split())
            raise InputError(
                f"the background {path} cannot be read as MRC ({reason}); give an uncompressed MRC file"
            ) from None
        with file:
            voxels, header = file.data, file.header
            if voxels is None or voxels.ndim != 3 or voxels.dtype.kind not in "fiu":
                raise InputError(f"the background {path} is not one volume of real numbers; give a tomogram")
            sizes = [
                float(cell) / max(int(count), 1)
                for cell, count in zip(header.cella.item(), (header.mx, header.my, header.mz), strict=True)
            ]
        if min(voxels.shape) < _LEAST_VOXELS:
            size = " x ".join(str(length) for length in voxels.shape)
            raise InputError(
                f"the background {path} is too small ({size} voxels); give one of {_LEAST_VOXELS} voxels or more "
                "along each axis"
            )
        if not (np.isfinite(sizes).all() and min(sizes) > 0 and np.ptp(sizes) < 1e-2 * min(sizes)):
            raise InputError(f"the background {path} states no cubic voxel size; write the right one into its header")
        _check_values(path, voxels)
        return cls(path, voxels, float(np.mean(sizes)))

    def phase_randomised(
        self, shape_zyx: tuple[int, int, int], voxel_size_angstrom: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return noise with the tomogram's power spectrum and random phases, of zero mean and unit variance.

        The spectrum is that of windowed blocks, averaged (Welch, IEEE Trans. Audio Electroacoust. 1967), taken over by
        spatial frequency: its wedge, CTF and fall-off stay, its objects do not.

        Parameters
        ----------
        shape_zyx, voxel_size_angstrom
            Volume wanted.
        rng
            Source of the phases.

        Raises
        ------
        InputError
            If the tomogram's voxels are too coarse for the volume.
        """
        self.check_scale(voxel_size_angstrom)
        power = self.power_spectrum()
        ratio = self.voxel_size_angstrom / voxel_size_angstrom
        depth, height, width = shape_zyx
        along_z = _spectral_interpolation(np.fft.fftfreq(depth), ratio, power.shape[0])
        along_y = _spectral_interpolation(np.fft.fftfreq(height), ratio, power.shape[1])
        along_x = _spectral_interpolation(np.fft.rfftfreq(width), ratio, 2 * power.shape[2] - 2)[:, : power.shape[2]]
        planes = np.einsum("ay,zyx,bx->zab", along_y, power, along_x, optimize=True).astype(np.float32)
        spectrum = np.empty((depth, height, width // 2 + 1), np.complex64)
        for z, weights in enumerate(along_z):
            near = np.flatnonzero(weights)
            amplitude = np.sqrt(np.tensordot(weights[near].astype(np.float32), planes[near], axes=1))
            drawn = rng.standard_normal((*amplitude.shape, 2), np.float32).view(np.complex64)[..., 0]
            np.multiply(drawn, amplitude, out=spectrum[z])
        # Columns without a conjugate partner: only the symmetric half of what was drawn gets into a real volume.
        spectrum[:, :, 0] *= np.float32(np.sqrt(2))
        if width % 2 == 0:
            spectrum[:, :, -1] *= np.float32(np.sqrt(2))
        spectrum[0, 0, 0] = 0
        return standardised(_real_in_place(spectrum, width))

    def crop(
        self,
        shape_zyx: tuple[int, int, int],
        voxel_size_angstrom: float,
        rng: np.random.Generator,
        *,
        opposite: bool = False,
    ) -> NDArray[np.float32]:
        """Return a piece of the tomogram as it is, resampled, of zero mean and unit variance.

        Where the tomogram is smaller than the volume wanted it goes on as its mirror image. Grey values are taken as
        they are: the tomogram should show protein dark.

        Parameters
        ----------
        shape_zyx, voxel_size_angstrom
            Volume wanted.
        rng
            Source of the place.
        opposite
            Take the same place of the tomogram inverted through its centre: a second piece that, for the same ``rng``,
            has nothing to do with the first. Its power spectrum, tilt axis and missing wedge are those of the tomogram,
            as inversion leaves the power of real volumes alone. The two share no voxel where the tomogram is at least
            twice as long as the volume along one axis; else a voxel meets itself only at the tomogram's very centre.

        Raises
        ------
        InputError
            If the tomogram's voxels are too coarse for the volume.
        """
        self.check_scale(voxel_size_angstrom)
        ratio = voxel_size_angstrom / self.voxel_size_angstrom
        wanted = [max(1, round(length * ratio)) for length in shape_zyx]
        inverted = bool(rng.integers(2)) != opposite
        lengths = self.voxels.shape
        places = [_mirrored_place(have, want, rng) for have, want in zip(lengths, wanted, strict=True)]
        if inverted:
            places = [have - 1 - place for have, place in zip(lengths, places, strict=True)]
        depth, height, width = shape_zyx
        piece = np.empty((max(wanted[0], depth), height, width), np.float32)
        for target, z in zip(piece, places[0], strict=False):
            plane = self.voxels[z][np.ix_(places[1], places[2])].astype(np.float32)
            target[:] = _resampled(_resampled(plane, 0, height), 1, width)
        if wanted[0] != depth:
            # Row by row and in place, as volumes are large.
            for y in range(height):
                piece[:depth, y] = _resampled(piece[: wanted[0], y], 0, depth)
        return standardised(piece[:depth])

    def power_spectrum(self) -> NDArray[np.float64]:
        """Return the mean power spectrum of blocks, on the grid of ``numpy.fft.rfftn``, at most 64 voxels wide."""
        size = [min(_BLOCK_VOXELS, length) // 2 * 2 for length in self.voxels.shape]
        window = np.ones(size)
        for axis, length in enumerate(size):
            shape = [length if one == axis else 1 for one in range(3)]
            window *= np.sin(np.pi * (np.arange(length) + 0.5) / length).reshape(shape) ** 2
        total, blocks = np.zeros((size[0], size[1], size[2] // 2 + 1)), 0
        for z, y, x in np.ndindex(*(self._starts(axis, length) for axis, length in enumerate(size))):
            corner = [
                self._start(axis, index, length)
                for axis, (index, length) in enumerate(zip((z, y, x), size, strict=True))
            ]
            box = tuple(slice(first, first + length) for first, length in zip(corner, size, strict=True))
            block = self.voxels[box].astype(np.float64)
            # Reconstructions are often padded: a block of one value says nothing.
            if block.std() > 0:
                total += np.abs(fft.rfftn((block - block.mean()) * window)) ** 2
                blocks += 1
        power: NDArray[np.float64] = total / max(blocks, 1)
        return power

    def _starts(self, axis: int, length: int) -> int:
        """Return how many half-overlapping blocks lie along an axis, within bounds."""
        return int(np.clip((self.voxels.shape[axis] - length) // (length // 2) + 1, 1, _MOST_BLOCKS_PER_AXIS))

    def _start(self, axis: int, index: int, length: int) -> int:
        count = self._starts(axis, length)
        return 0 if count == 1 else (self.voxels.shape[axis] - length) * index // (count - 1)

    def check_scale(self, voxel_size_angstrom: float) -> None:
        """Check that volumes of a voxel size can be made.

        Raises
        ------
        InputError
            If the tomogram's voxels are too coarse.
        """
        if self.voxel_size_angstrom > _COARSEST * voxel_size_angstrom:
            raise InputError(
                f"the background {self.path} has voxels of {self.voxel_size_angstrom:g} Å, too coarse for a simulation "
                f"at {voxel_size_angstrom:g} Å; give a less binned tomogram"
            )


def _check_values(path: Path, voxels: NDArray[Any]) -> None:
    low, high = np.inf, -np.inf
    for plane in voxels:
        least, most = float(plane.min()), float(plane.max())
        if not (np.isfinite(least) and np.isfinite(most)):
            raise InputError(f"the background {path} holds NaN or infinite values; replace them or give another file")
        low, high = min(low, least), max(high, most)
    if not high > low:
        raise InputError(f"the background {path} has the same value everywhere; give a reconstructed tomogram")


def _spectral_interpolation(frequencies: NDArray[np.floating], ratio: float, length: int) -> NDArray[np.float64]:
    """Return the matrix that takes a spectrum of ``length`` samples to other frequencies (cycles per new voxel).

    ``ratio`` is the spectrum's own voxel over the new one; what lies beyond its Nyquist frequency becomes 0.
    """
    place = frequencies * ratio * length
    low = np.floor(place).astype(np.int64)
    matrix = np.zeros((len(frequencies), length))
    rows = np.arange(len(frequencies))
    np.add.at(matrix, (rows, low % length), 1 - (place - low))
    np.add.at(matrix, (rows, (low + 1) % length), place - low)
    matrix[np.abs(frequencies * ratio) > 0.5] = 0
    return matrix


def _mirrored_place(have: int, want: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``want`` consecutive indices of an axis that is continued by its mirror image.

    Where two such pieces fit side by side they lie in the axis' first half, so that the second half is another piece.
    """
    if want > have:
        first = int(rng.integers(0, have))
    else:
        first = int(rng.integers(0, (have // 2 if 2 * want <= have else have) - want + 1))
    indices = np.mod(first + np.arange(want), 2 * have)
    return np.where(indices < have, indices, 2 * have - 1 - indices)


def _real_in_place(spectrum: NDArray[np.complex64], width: int) -> NDArray[np.float32]:
    """Return what ``irfftn`` does, as a view into the memory of the spectrum."""
    planes = fft.ifftn(spectrum, axes=(0, 1), overwrite_x=True, workers=-1)
    real: NDArray[np.float32] = planes.view(np.float32)[:, :, :width]
    for target, plane in zip(real, planes, strict=True):
        target[:] = fft.irfft(plane, n=width, axis=1)
    return real


def _resampled(volume: NDArray[np.float32], axis: int, length: int) -> NDArray[np.float32]:
    """Resample one axis by cropping or padding its spectrum."""
    have = volume.shape[axis]
    if have == length:
        return volume
    spectrum = fft.rfft(volume, axis=axis)
    resampled: NDArray[np.float32] = fft.irfft(spectrum, n=length, axis=axis, overwrite_x=True)
    return resampled


def standardised(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring to zero mean and unit variance, in place."""
    volume -= np.float32(volume.mean(dtype=np.float64))
    deviation = np.sqrt(np.mean([np.mean(plane**2, dtype=np.float64) for plane in volume]))
    volume /= np.float32(deviation if deviation > 0 else 1)
    return volume
