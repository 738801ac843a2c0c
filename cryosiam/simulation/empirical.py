"""Real backgrounds: noise of real tomograms mixed into simulated ones.

Simulated noise is that of electron counting alone; real tomograms hold more (ice, what lies out of focus, what
alignment and reconstruction leave). Networks that train with it generalise better to real data.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.simulation.background import Background, standardised
from cryosiam.simulation.spec import fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.tomogram import SimulatedTomogram


def mixed(
    noisy: NDArray[np.float32], signal: NDArray[np.float32], background: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """Replace a share of a volume's noise by a real background.

    The noise is what the volume holds beside the signal, ``n = noisy - a signal`` with ``a`` by least squares. The
    result is ``a signal + sqrt(1 - share) n + sqrt(share) std(n) background``: its noise has the same variance.

    Parameters
    ----------
    noisy
        ``(z, y, x)`` reconstruction.
    signal
        ``(z, y, x)`` noise-free reconstruction, on any scale.
    background
        ``(z, y, x)`` of zero mean and unit variance.
    share
        Share of the noise variance that comes from the background, 0 to 1.

    Raises
    ------
    ValueError
        If the volumes differ in shape, or the share is outside its range.
    """
    if not noisy.shape == signal.shape == background.shape:
        raise ValueError(f"volumes differ in shape: {noisy.shape}, {signal.shape}, {background.shape}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie between 0 and 1, not {share:g}")
    overlap = sum(float(np.vdot(a, b)) for a, b in zip(noisy, signal, strict=True))
    power = sum(float(np.vdot(plane, plane)) for plane in signal)
    scale = np.float32(overlap / power if power > 0 else 0)
    kept = np.float32(np.sqrt(1 - share))
    noise_squares = [np.mean((a - scale * b) ** 2, dtype=np.float64) for a, b in zip(noisy, signal, strict=True)]
    added = np.float32(np.sqrt(share * np.mean(noise_squares)))
    result = np.empty_like(noisy)
    for target, whole, clean, real in zip(result, noisy, signal, background, strict=True):
        target[:] = kept * whole + (1 - kept) * scale * clean + added * real
    return result


def add_background(tomogram: SimulatedTomogram, recipe_dir: Path | None, rng: np.random.Generator) -> SimulatedTomogram:
    """Mix real backgrounds into the noisy volumes of a simulated tomogram, as its recipe says.

    The noise-free reconstruction comes from the fast path. Each half gets a background of its own, and the main
    volume is their mean, so that the halves stay independent; without halves it gets one. The CTF-corrected volume
    gets the main volume's background on the scale of its own noise.

    Parameters
    ----------
    tomogram
        Simulated on either path.
    recipe_dir
        Folder that the names of real tomograms are relative to; None is the working folder.
    rng
        Source of the choice among the tomograms, of places and phases.

    Raises
    ------
    InputError
        If a real tomogram cannot be used.
    """
    from cryosiam.simulation.fast.imaging import FastMicroscope
    from cryosiam.simulation.fast.transfer import TiltState

    recipe = tomogram.spec.noise
    share = fixed(recipe.share)
    if not recipe.tomograms or share == 0:
        return tomogram
    # All of them are checked, not only the one drawn: a recipe is good or not whatever its seed.
    real = [Background.read((recipe_dir or Path()) / name) for name in recipe.tomograms]
    chosen = real[int(rng.integers(len(real)))]
    make = chosen.crop if recipe.mode == "crop" else chosen.phase_randomised
    shape, voxel = tomogram.noisy.shape, tomogram.spec.voxel_size_angstrom
    specimen, spec = tomogram.specimen, tomogram.spec
    state = TiltState.nominal(spec) if tomogram.series is None else TiltState.of_series(tomogram.series)
    microscope = FastMicroscope(spec)
    density = specimen.density + specimen.unlabelled
    signal = microscope.signal(density, state)
    halves = tomogram.halves
    if halves is None:
        background = make(shape, voxel, rng)
        noisy = mixed(tomogram.noisy, signal, background, share)
    else:
        first, second = make(shape, voxel, rng), make(shape, voxel, rng)
        halves = mixed(halves[0], signal, first, share), mixed(halves[1], signal, second, share)
        noisy = (halves[0] + halves[1]) / np.float32(2)
        background = first
        background += second
        del first, second
        standardised(background)
    mean, deviation = float(noisy.mean(dtype=np.float64)), float(noisy.std(dtype=np.float64))
    for volume in (noisy, *(halves or ())):
        volume -= np.float32(mean)
        volume /= np.float32(deviation)
    corrected = tomogram.corrected
    if corrected is not None:
        corrected = standardised(mixed(corrected, microscope.signal(density, state, "wiener"), background, share))
    return dataclasses.replace(tomogram, noisy=noisy, halves=halves, corrected=corrected)
