"""Real backgrounds: noise of real tomograms mixed into simulated ones.

Simulated noise is that of electron counting alone; real tomograms hold more (ice, what lies out of focus, what
alignment and reconstruction leave). Networks that train with it generalise better to real data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.simulation.background import Background, standardised
from cryosiam.simulation.spec import fixed
from cryosiam.simulation.spec.base import highest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.fast.transfer import TiltState
    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.tomogram import SimulatedTomogram


def check_backgrounds(spec: SimulationSpec, recipe_dir: Path | None) -> None:
    """Read and check every real tomogram that a recipe names, before anything is made of it.

    All of them, not only the one that a seed draws: a recipe is good or not whatever its seed.

    Parameters
    ----------
    spec
        Recipe; its ranges may be drawn or not.
    recipe_dir
        Folder that the names of real tomograms are relative to; None is the working folder.

    Raises
    ------
    InputError
        If one cannot be read, is no tomogram, or has voxels too coarse for the recipe.
    """
    if highest(spec.noise.share) == 0:
        return
    for name in spec.noise.tomograms:
        _read(name, recipe_dir).check_scale(spec.voxel_size_angstrom)


def reduce_noise(volume: NDArray[np.float32], signal: NDArray[np.float32], share: float) -> float:
    """Take a share of the noise variance out of a volume, in place.

    The noise is what the volume holds beside the signal, ``n = volume - a signal - b`` with ``a`` and ``b`` by least
    squares. What is left is ``a signal + b + sqrt(1 - share) n``.

    Parameters
    ----------
    volume
        ``(z, y, x)`` reconstruction.
    signal
        ``(z, y, x)`` noise-free reconstruction, on any scale.
    share
        Share of the noise variance, 0 to 1.

    Returns
    -------
    float
        Standard deviation of noise that brings the variance back to what it was.

    Raises
    ------
    ValueError
        If the volumes differ in shape, or the share is outside its range.
    """
    if volume.shape != signal.shape:
        raise ValueError(f"volumes differ in shape: {volume.shape}, {signal.shape}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie between 0 and 1, not {share:g}")
    volume_mean, signal_mean = (np.float32(one.mean(dtype=np.float64)) for one in (volume, signal))
    overlap = sum(float(np.vdot(a - volume_mean, b - signal_mean)) for a, b in zip(volume, signal, strict=True))
    power = sum(float(np.vdot(plane, plane)) for plane in (one - signal_mean for one in signal))
    scale = np.float32(overlap / power if power > 0 else 0)
    kept = np.float32(np.sqrt(1 - share))
    squares = []
    for target, clean in zip(volume, signal, strict=True):
        fitted = scale * (clean - signal_mean) + volume_mean
        target -= fitted
        squares.append(np.mean(target**2, dtype=np.float64))
        target *= kept
        target += fitted
    return float(np.sqrt(share * np.mean(squares)))


def add_background(
    tomogram: SimulatedTomogram, recipe_dir: Path | None, rng: np.random.Generator, state: TiltState | None = None
) -> None:
    """Mix real backgrounds into the noisy volumes of a simulated tomogram, in place, as its recipe says.

    The noise-free reconstruction comes from the fast path. Each half gets a background of its own, and the main
    volume is their mean, so that the halves stay independent: ``phase-randomised`` draws phases for each, ``crop``
    takes opposite pieces (see :meth:`Background.crop`). Without halves the main volume gets one background. The
    CTF-corrected volume gets the main volume's on the scale of its own noise. Tilt images stay as they are.

    Parameters
    ----------
    tomogram
        Simulated on either path.
    recipe_dir
        Folder that the names of real tomograms are relative to; None is the working folder.
    rng
        Source of the choice among the tomograms, of places and phases.
    state
        State of the microscope that the volumes were imaged in; that of the tilt series, where there is one.

    Raises
    ------
    InputError
        If the real tomogram that is drawn cannot be used.
    ValueError
        If there is neither a state nor a tilt series.
    """
    recipe = tomogram.spec.noise
    share = fixed(recipe.share)
    if not recipe.tomograms or share == 0:
        return
    name = recipe.tomograms[int(rng.integers(len(recipe.tomograms)))]
    seed = int(rng.integers(2**63))
    volumes = tomogram.halves or (tomogram.noisy,)
    deviations, corrected_deviation = _with_less_noise(tomogram, volumes, share, _state(tomogram, state))
    background = _read(name, recipe_dir)

    def made(half: int) -> NDArray[np.float32]:
        shape, voxel = tomogram.spec.shape_zyx, tomogram.spec.voxel_size_angstrom
        if recipe.mode == "crop":
            return background.crop(shape, voxel, np.random.default_rng(seed), opposite=half == 1)
        return background.phase_randomised(shape, voxel, np.random.default_rng([seed, half]))

    # One background at a time, for each takes as much memory as the volume itself.
    for half, (volume, deviation) in enumerate(zip(volumes, deviations, strict=True)):
        piece = made(half)
        _add(volume, piece, deviation)
        if tomogram.corrected is not None:
            _add(tomogram.corrected, piece, corrected_deviation / len(volumes) ** 0.5)
        del piece
    _standardise_again(tomogram)


def _read(name: str, recipe_dir: Path | None) -> Background:
    return Background.read((recipe_dir or Path()) / name)


def _state(tomogram: SimulatedTomogram, state: TiltState | None) -> TiltState:
    from cryosiam.simulation.fast.transfer import TiltState

    if state is not None:
        return state
    if tomogram.series is None:
        raise ValueError("a tomogram without tilt series needs the state that it was imaged in")
    return TiltState.of_series(tomogram.series)


def _with_less_noise(
    tomogram: SimulatedTomogram, volumes: tuple[NDArray[np.float32], ...], share: float, state: TiltState
) -> tuple[list[float], float]:
    """Take noise out of volumes and of the CTF-corrected one; return the deviations of what is to replace it."""
    from cryosiam.simulation.fast.imaging import FastMicroscope

    microscope, specimen = FastMicroscope(tomogram.spec), tomogram.specimen
    # The main volume is made anew from the halves: until then it is room for what the images show.
    room = tomogram.noisy if tomogram.halves is not None else np.empty_like(specimen.density)
    seen = np.add(specimen.density, specimen.unlabelled, out=room)
    signal = microscope.signal(seen, state)
    deviations = [reduce_noise(volume, signal, share) for volume in volumes]
    del signal
    if tomogram.corrected is None:
        return deviations, 0.0
    signal = microscope.signal(seen, state, "wiener")
    return deviations, reduce_noise(tomogram.corrected, signal, share)


def _add(volume: NDArray[np.float32], background: NDArray[np.float32], deviation: float) -> None:
    for target, plane in zip(volume, background, strict=True):
        target += np.float32(deviation) * plane


def _standardise_again(tomogram: SimulatedTomogram) -> None:
    """Bring the main volume, the mean of the halves, to zero mean and unit variance, and the halves along with it."""
    noisy, halves = tomogram.noisy, tomogram.halves or ()
    if tomogram.halves is not None:
        np.add(*tomogram.halves, out=noisy)
        noisy *= np.float32(0.5)
    mean = noisy.mean(dtype=np.float64)
    deviation = np.sqrt(np.mean([np.mean((plane - mean) ** 2, dtype=np.float64) for plane in noisy]))
    for volume in (noisy, *halves):
        volume -= np.float32(mean)
        volume /= np.float32(deviation if deviation > 0 else 1)
    if tomogram.corrected is not None:
        standardised(tomogram.corrected)
