"""Simulate a tomogram with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import MissingWedge, Picks
from cryosiam.simulation.imaging import reconstruct, tilt_series_of
from cryosiam.simulation.specimen import Specimen, build_specimen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.simulation.config import SimulationConfig
    from cryosiam.simulation.species import Species


@dataclass(frozen=True)
class SimulatedTomogram:
    """A simulated tomogram and all that is known of it.

    Parameters
    ----------
    noisy
        ``(z, y, x)`` float32 weighted back-projection, protein dark, zero mean and unit variance.
    clean
        ``(z, y, x)`` float32, protein about -1, solvent 0: no CTF, no missing wedge, no noise.
    semantic
        ``(z, y, x)`` uint8 indices of :data:`cryosiam.domain.SEMANTIC_CLASSES`.
    instances
        ``(z, y, x)`` int32 particle ids, 1 to n.
    sample_mask
        ``(z, y, x)`` bool: inside the sample.
    picks
        Particles in the order of their ids; rotations are object -> tomogram.
    wedge, defocus_um, config, seed
        How it was made.
    """

    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]
    semantic: NDArray[np.uint8]
    instances: NDArray[np.int32]
    sample_mask: NDArray[np.bool_]
    picks: Picks
    wedge: MissingWedge
    defocus_um: float
    config: SimulationConfig
    seed: int


def image_specimen(specimen: Specimen, config: SimulationConfig, seed: int) -> SimulatedTomogram:
    """Take a tilt series of a specimen and reconstruct it.

    Parameters
    ----------
    specimen
        From :func:`cryosiam.simulation.build_specimen`; it may be imaged many times.
    config
        Microscope; its shape and voxel size are those of the specimen.
    seed
        Of noise, defocus and alignment errors.

    Raises
    ------
    ValueError
        If the specimen is not of the configuration's shape.
    """
    if specimen.density.shape != config.shape_zyx:
        raise ValueError(f"specimen is {specimen.density.shape}, configuration {config.shape_zyx}")
    rng = np.random.default_rng([seed, 0x1A6E])
    images = tilt_series_of(specimen.density + specimen.unlabelled, config, rng)
    volume = reconstruct(images, config)
    tilts = config.tilt_angles_deg
    return SimulatedTomogram(
        noisy=((volume - volume.mean()) / volume.std()).astype(np.float32),
        clean=-specimen.density,
        semantic=specimen.semantic,
        instances=specimen.instances,
        sample_mask=specimen.sample_mask,
        picks=specimen.picks,
        wedge=MissingWedge(float(tilts[0]), float(tilts[-1])),
        defocus_um=config.defocus_um,
        config=config,
        seed=seed,
    )


def simulate(config: SimulationConfig, species: Sequence[Species], seed: int) -> SimulatedTomogram:
    """Build a specimen and image it; both follow from ``seed``, byte for byte.

    Parameters
    ----------
    config
        Specimen and microscope.
    species
        Kinds of particles to draw from, at the configuration's voxel size.
    seed
        Of everything random.
    """
    return image_specimen(build_specimen(config, species, seed), config, seed)
