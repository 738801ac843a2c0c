"""Amplitude spectra of real tomograms, borrowed by other volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cryosiam.errors import InputError
from cryosiam.files import write_text_whole
from cryosiam.training.augment.fourier import HIGHEST, filtered_radially, windowed
from cryosiam.training.augment.ranges import ShareRange

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_BLOCK: Final = 64
_MOST: Final = 20.0
"""No amplitude is changed by more than this factor, up or down."""


class AmplitudeSpectrum(BaseModel):
    """How strong a tomogram is at each spatial frequency, averaged over directions.

    Attributes
    ----------
    source
        What it was measured on.
    frequencies_per_angstrom
        Middle of each shell in 1/Å, ascending.
    amplitudes
        Root of the power density of each shell in Å^1.5, for a tomogram of unit standard deviation. White noise at
        voxel size a has ``a^1.5`` at all frequencies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    frequencies_per_angstrom: tuple[float, ...] = Field(min_length=2)
    amplitudes: tuple[float, ...]

    @model_validator(mode="after")
    def _shells(self) -> AmplitudeSpectrum:
        frequencies, amplitudes = np.array(self.frequencies_per_angstrom), np.array(self.amplitudes)
        if frequencies.shape != amplitudes.shape or not (np.diff(frequencies) > 0).all() or frequencies[0] < 0:
            raise ValueError("frequencies must ascend from 0 or more, with one amplitude for each")
        if not (np.isfinite(amplitudes).all() and np.isfinite(frequencies).all() and (amplitudes > 0).all()):
            raise ValueError("amplitudes must be positive numbers")
        return self

    @classmethod
    def measure(cls, volume: NDArray[np.floating], voxel_size_angstrom: float, source: str) -> AmplitudeSpectrum:
        """Measure a tomogram.

        The power of windowed blocks is averaged (Welch, IEEE Trans. Audio Electroacoust. 1967).

        Parameters
        ----------
        volume
            ``(z, y, x)``, at least 16 voxels along each axis.
        voxel_size_angstrom
            Edge of the voxel.
        source
            Name of the tomogram.

        Raises
        ------
        InputError
            If it is too small, flat, or holds values that are no numbers.
        """
        if min(volume.shape) < 16:
            raise InputError(
                f"{source} is too thin for its spectrum: give a tomogram of 16 voxels or more along each axis"
            )
        deviation = float(np.std(volume, dtype=np.float64))
        if not (np.isfinite(deviation) and deviation > 0):
            raise InputError(f"{source} is flat or holds values that are no numbers: give another tomogram")
        edge = min(_BLOCK, *volume.shape)
        powers = [radial_power(block) for block in _blocks(volume, edge)]
        power = np.mean(powers, axis=0) / deviation**2
        frequencies = shell_frequencies(edge)
        below = (frequencies <= 0.5) & (power > 0)
        amplitudes = np.sqrt(power * voxel_size_angstrom**3)
        return cls(
            source=source,
            frequencies_per_angstrom=tuple((frequencies[below] / voxel_size_angstrom).tolist()),
            amplitudes=tuple(amplitudes[below].tolist()),
        )

    def at(self, frequency_per_angstrom: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return amplitudes at any frequencies in 1/Å; beyond the shells they are those of the nearest."""
        logarithm = np.interp(frequency_per_angstrom, self.frequencies_per_angstrom, np.log(self.amplitudes))
        amplitude: NDArray[np.float64] = np.exp(logarithm)
        return amplitude

    def save(self, path: Path) -> None:
        """Write a JSON file."""
        write_text_whole(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> AmplitudeSpectrum:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the file is missing or something else.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"no amplitude spectrum can be read from '{path}': {error}") from None
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise InputError(f"'{path}' is no amplitude spectrum ({reason}); measure one of a tomogram") from None


def _read(given: object) -> object:
    return AmplitudeSpectrum.load(Path(given)) if isinstance(given, str | Path) else given


class SpectrumRecipe(BaseModel):
    """Spectra to borrow.

    Attributes
    ----------
    chance
        Share of patches that borrow one.
    strength
        How far, from 0 for not at all to 1 for all the way.
    spectra
        One is drawn for each patch; files are read and kept in the recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chance: float = Field(default=0.3, ge=0, le=1)
    strength: ShareRange = (0.2, 1.0)
    spectra: tuple[Annotated[AmplitudeSpectrum, BeforeValidator(_read)], ...] = Field(min_length=1)


def borrow(volume: Tensor, voxel_size_angstrom: float, spectrum: AmplitudeSpectrum, strength: float = 1.0) -> Tensor:
    """Rescale Fourier amplitudes, shell by shell, towards those of a real tomogram; phases stay.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32.
    voxel_size_angstrom
        Edge of the voxel.
    spectrum
        What is borrowed. At frequencies that it does not reach, the factor is that at the last one it does.
    strength
        0 changes nothing, 1 gives the amplitudes of ``spectrum``; between them lie geometric means.

    Returns
    -------
    Tensor
        ``(z, y, x)`` float32. Its contrast is that of a tomogram of unit standard deviation, as far as it is borrowed.
    """
    if strength == 0:
        return volume.clone()
    power = radial_power(volume.numpy())
    frequency = shell_frequencies(min(volume.shape)) / voxel_size_angstrom
    own = np.sqrt(power * voxel_size_angstrom**3)
    reach = (own > 0) & (
        frequency <= min(spectrum.frequencies_per_angstrom[-1], 0.5 / voxel_size_angstrom) * (1 + 1e-6)
    )
    if not reach.any():
        return volume.clone()
    gain = np.log(spectrum.at(frequency[reach]) / own[reach]).clip(-np.log(_MOST), np.log(_MOST)) * strength
    at = np.linspace(0, HIGHEST, 512) / voxel_size_angstrom
    profile = np.exp(np.interp(at, frequency[reach], gain)).astype(np.float32)
    return filtered_radially(volume, torch.from_numpy(profile))


def shell_frequencies(edge: int) -> NDArray[np.float64]:
    """Return the middles of the shells, one step of a cube's Fourier transform apart, in cycles per voxel."""
    return np.arange(1, int(HIGHEST * edge) + 1) / edge


def radial_power(volume: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power density of each shell of :func:`shell_frequencies`, for the smallest edge of the volume.

    The volume is freed of its mean and windowed (Hann). White noise of unit variance has the density 1.
    """
    depth, height, width = volume.shape
    values = torch.from_numpy(np.ascontiguousarray(volume, np.float32))
    power = torch.fft.rfftn(windowed(values), norm="ortho").abs().square().numpy()
    doubled = np.full(power.shape[2], 2.0)
    doubled[0] = 1
    if width % 2 == 0:
        doubled[-1] = 1
    squares = np.fft.fftfreq(depth)[:, None, None] ** 2 + np.fft.fftfreq(height)[:, None] ** 2
    edge = min(volume.shape)
    shells = np.rint(np.sqrt(squares + np.fft.rfftfreq(width) ** 2) * edge).astype(np.int64).ravel()
    counts = np.broadcast_to(doubled, power.shape).ravel()
    last = int(HIGHEST * edge)
    sums = np.bincount(shells, counts * power.ravel(), last + 2)[1 : last + 1]
    numbers = np.bincount(shells, counts, last + 2)[1 : last + 1]
    density: NDArray[np.float64] = sums / np.maximum(numbers, 1)
    return density


def _blocks(volume: NDArray[np.floating], edge: int) -> list[NDArray[np.floating]]:
    """Return cubes spread evenly over a volume, at most four along each axis."""
    starts = [np.linspace(0, n - edge, min(4, max(1, n // edge))).astype(int).tolist() for n in volume.shape]
    return [
        np.asarray(volume[z : z + edge, y : y + edge, x : x + edge], np.float32)
        for z in starts[0]
        for y in starts[1]
        for x in starts[2]
    ]
