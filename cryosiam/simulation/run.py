"""Simulate a tomogram: specimen, microscope, reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import MissingWedge
from cryosiam.simulation.build import build_specimen
from cryosiam.simulation.empirical import add_background, check_backgrounds
from cryosiam.simulation.microscope.tilts import exposures
from cryosiam.simulation.spec import fixed
from cryosiam.simulation.tomogram import SimulatedTomogram

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryosiam.simulation.build import Progress
    from cryosiam.simulation.fast.transfer import TiltState
    from cryosiam.simulation.microscope.reconstruction import Reconstructions
    from cryosiam.simulation.microscope.series import SimulatedTiltSeries
    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.species import Species
    from cryosiam.simulation.tomogram import Specimen

_IMAGING_STREAM = 0x1A6E
_BACKGROUND_STREAM = 0xBAC6


def simulate(
    spec: SimulationSpec,
    species: Mapping[str, Species],
    seed: int,
    *,
    recipe_dir: Path | None = None,
    progress: Progress | None = None,
) -> SimulatedTomogram:
    """Build a specimen and image it; both follow from ``seed``, byte for byte.

    Parameters
    ----------
    spec
        Recipe; ranges are drawn with ``seed``.
    species
        Densities of :func:`cryosiam.simulation.build.species_wanted`, by name, at the recipe's voxel size.
    seed
        Of everything random.
    recipe_dir
        Folder that the recipe's file names are relative to.
    progress
        Told what is worked on now.

    Returns
    -------
    SimulatedTomogram
        Volumes and ground truth.

    Raises
    ------
    InputError
        If the recipe cannot be carried out. Its real tomograms are checked before anything is built.
    """
    check_backgrounds(spec, recipe_dir)
    specimen = build_specimen(spec, species, seed, progress=progress)
    return image_specimen(specimen, spec, seed, recipe_dir=recipe_dir, progress=progress)


def image_specimen(
    specimen: Specimen,
    spec: SimulationSpec,
    seed: int,
    *,
    recipe_dir: Path | None = None,
    progress: Progress | None = None,
) -> SimulatedTomogram:
    """Take a tilt series of a specimen and reconstruct it, on the recipe's path.

    Parameters
    ----------
    specimen
        From :func:`cryosiam.simulation.build_specimen`; it may be imaged many times.
    spec
        Recipe; its shape and voxel size are those of the specimen.
    seed
        Of noise, defocus and alignment errors.
    recipe_dir, progress
        As in :func:`simulate`.

    Raises
    ------
    ValueError
        If the specimen is not of the recipe's shape.
    """
    if specimen.density.shape != spec.shape_zyx:
        raise ValueError(f"specimen is {specimen.density.shape}, recipe {spec.shape_zyx}")
    spec = spec.for_seed(seed)
    tell = progress or (lambda _: None)
    rng = np.random.default_rng([seed, _IMAGING_STREAM])
    state = None
    if spec.path == "exact":
        tomogram = _exact(specimen, spec, seed, rng, tell)
    else:
        tomogram, state = _fast(specimen, spec, seed, rng, tell)
    if spec.noise.tomograms:
        tell("real background")
        add_background(tomogram, recipe_dir, np.random.default_rng([seed, _BACKGROUND_STREAM]), state)
    return tomogram


def _exact(
    specimen: Specimen, spec: SimulationSpec, seed: int, rng: np.random.Generator, tell: Progress
) -> SimulatedTomogram:
    from cryosiam.simulation.microscope.imaging import take_tilt_series
    from cryosiam.simulation.microscope.reconstruction import reconstruct_volumes

    tell("tilt series")
    series = take_tilt_series(specimen, spec, rng)
    tell("reconstruction")
    volumes = reconstruct_volumes(series, spec, spec.shape_zyx)
    return _assembled(specimen, spec, seed, volumes, series)


def _fast(
    specimen: Specimen, spec: SimulationSpec, seed: int, rng: np.random.Generator, tell: Progress
) -> tuple[SimulatedTomogram, TiltState]:
    from cryosiam.simulation.fast.imaging import FastMicroscope
    from cryosiam.simulation.fast.transfer import TiltState

    tell("imaging")
    state = TiltState.drawn(spec, rng)
    volumes = FastMicroscope(spec).image(specimen.density + specimen.unlabelled, rng, state)
    return _assembled(specimen, spec, seed, volumes, None), state


def _assembled(
    specimen: Specimen,
    spec: SimulationSpec,
    seed: int,
    volumes: Reconstructions,
    series: SimulatedTiltSeries | None,
) -> SimulatedTomogram:
    microscope = spec.microscope
    tilts = exposures(microscope.tilts, fixed(microscope.exposure.total_dose)).tilt_angles_deg
    return SimulatedTomogram(
        spec=spec,
        seed=seed,
        specimen=specimen,
        noisy=volumes.noisy,
        wedge=MissingWedge(float(tilts[0]), float(tilts[-1])),
        corrected=volumes.corrected,
        halves=volumes.halves,
        series=series,
    )
