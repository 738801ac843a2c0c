"""Build a specimen: a slab of ice with membranes, filaments and particles, and its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES, Picks
from cryosiam.geometry import indices_from_positions, positions_from_indices
from cryosiam.simulation import scaffold
from cryosiam.simulation.packing import pack
from cryosiam.simulation.species import SMOOTHING_VOXELS
from cryosiam.simulation.structures import ICE_POTENTIAL_VOLT, PROTEIN_CONTRAST_VOLT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cryosiam.simulation.config import SimulationConfig
    from cryosiam.simulation.species import Species

_CLASS: Final = {name: index for index, name in enumerate(SEMANTIC_CLASSES)}
_PATH_STEP_ANGSTROM: Final = 5.0
_FILAMENT_TRIES: Final = 30


@dataclass(frozen=True)
class Specimen:
    """A specimen and its ground truth; several images may be taken of one.

    Parameters
    ----------
    density
        ``(z, y, x)`` float32: membranes, filaments and particles, in units of bulk protein; solvent 0.
    unlabelled
        ``(z, y, x)`` float32: what images show besides: fluctuations of the ice, small solutes, gold, and the
        slab's uneven surfaces. An even slab of ice projects to a constant and is left out.
    semantic
        ``(z, y, x)`` uint8 indices of :data:`cryosiam.domain.SEMANTIC_CLASSES`.
    instances
        ``(z, y, x)`` int32 particle ids, 1 to n.
    sample_mask
        ``(z, y, x)`` bool: inside the slab.
    picks
        Centres, species and object -> tomogram rotations of the particles, in the order of their ids.
    """

    density: NDArray[np.float32]
    unlabelled: NDArray[np.float32]
    semantic: NDArray[np.uint8]
    instances: NDArray[np.int32]
    sample_mask: NDArray[np.bool_]
    picks: Picks


def build_specimen(config: SimulationConfig, species: Sequence[Species], seed: int) -> Specimen:
    """Build a specimen.

    Parameters
    ----------
    config
        What to put in, and how thick; its imaging part is not used.
    species
        Kinds of particles to draw from, at the configuration's voxel size.
    seed
        Same seed and configuration, same specimen, byte for byte.

    Returns
    -------
    Specimen
        Density and labels.
    """
    rng = np.random.default_rng([seed, 0x59EC])
    sample, surface = _slab(config, rng)
    density = np.zeros(config.shape_zyx, np.float32)
    semantic = np.zeros(config.shape_zyx, np.uint8)
    _add_membranes(density, semantic, config, rng)
    _add_filaments(density, semantic, sample, config, rng)
    semantic[~sample] = 0
    density *= sample
    instances = np.zeros(config.shape_zyx, np.int32)
    taken = ~sample | (semantic > 0)
    placement = pack(density, instances, taken, species, config.occupancy, rng)
    semantic[instances > 0] = _CLASS["particle"]
    count = len(placement.names)
    picks = Picks(
        run=f"simulated-{seed}",
        positions_angstrom=positions_from_indices(placement.indices_zyx, config.voxel_size_angstrom),
        scores=np.ones(count),
        class_names=placement.names,
        instance_ids=np.arange(1, count + 1, dtype=np.int64),
        rotations=placement.rotations,
    )
    unlabelled = surface + _background(config, sample, rng)
    return Specimen(density, unlabelled, semantic, instances, sample, picks)


def _slab(config: SimulationConfig, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return the slab, and the potential by which its uneven surfaces differ from an even slab's."""
    nz, ny, nx = config.shape_zyx
    voxel = config.voxel_size_angstrom
    tilt, azimuth = np.deg2rad([config.slab_tilt_deg, config.slab_azimuth_deg])
    y, x = np.meshgrid(np.arange(ny) - ny // 2, np.arange(nx) - nx // 2, indexing="ij", sparse=True)
    middle = nz // 2 + np.tan(tilt) * (np.cos(azimuth) * x + np.sin(azimuth) * y)
    half = config.thickness_angstrom / 2 / voxel / np.cos(tilt)
    waves = [
        scaffold.smooth_noise((ny, nx), 500 / voxel, rng) * config.surface_roughness_angstrom / voxel for _ in range(2)
    ]
    z = np.arange(nz)[:, None, None]
    sample = (z >= middle - half + waves[0]) & (z <= middle + half + waves[1])
    even = (z >= middle - half) & (z <= middle + half)
    ice = ICE_POTENTIAL_VOLT / PROTEIN_CONTRAST_VOLT
    return sample, ice * (sample.astype(np.float32) - even.astype(np.float32))


def _background(config: SimulationConfig, sample: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return fluctuations of ice and small solutes inside the sample, and gold beads."""
    fluctuation = config.background_std * scaffold.smooth_noise(config.shape_zyx, 1.0, rng)
    background: NDArray[np.float32] = np.where(sample, fluctuation, np.float32(0))
    if config.gold_beads:
        inside = np.argwhere(sample)
        centres = inside[rng.integers(0, len(inside), config.gold_beads)].astype(np.float64)
        # Mean inner potential of gold is about 30 V; beads are about 100 Å wide.
        scaffold.add_blobs(background, centres, 40.0 / config.voxel_size_angstrom, 25.0 / PROTEIN_CONTRAST_VOLT)
    return background


def _add_membranes(
    density: NDArray[np.float32],
    semantic: NDArray[np.uint8],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> None:
    shape, voxel = config.shape_zyx, config.voxel_size_angstrom
    blur = SMOOTHING_VOXELS * voxel
    for _ in range(config.membrane_sheets):
        distance = scaffold.sheet_distance(shape, voxel, rng)
        scaffold.add_membrane(density, semantic, (0, 0, 0), distance, blur, _CLASS["membrane"])
    largest = max(200.0, 0.42 * config.thickness_angstrom)
    for _ in range(config.vesicles):
        radii = rng.uniform(180, largest) * rng.uniform(0.85, 1.15, 3) / voxel
        centre = np.array([n * rng.uniform(0.05, 0.95) for n in shape])
        centre[0] = shape[0] / 2 + rng.normal(0, 0.15) * config.thickness_angstrom / voxel
        corner, distance = scaffold.vesicle_distance(shape, centre, radii, rng)
        box = tuple(slice(c, c + n) for c, n in zip(corner, distance.shape, strict=True))
        if distance.size and not (semantic[box] > 0)[distance < 5].any():
            scaffold.add_membrane(density, semantic, corner, distance * voxel, blur, _CLASS["membrane"])


def _add_filaments(
    density: NDArray[np.float32],
    semantic: NDArray[np.uint8],
    sample: NDArray[np.bool_],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> None:
    """Draw microtubules, actin and nucleic acid, in this order, each in free space."""
    voxel = config.voxel_size_angstrom
    # Blob amplitudes spread a monomer's volume (50, 42 kDa at 1.23 Å³/Da; 3 base pairs of 1.4 density) over a Gaussian.
    kinds: tuple[tuple[str, int, float, float, float, float, Callable[..., NDArray[np.float64]] | None], ...] = (
        (
            "microtubule", config.microtubules, scaffold.MICROTUBULE_RADIUS_ANGSTROM, 2e5, 61_500, 15.5,
            scaffold.microtubule_subunits,
        ),
        ("actin", config.actin_filaments, scaffold.ACTIN_RADIUS_ANGSTROM, 6e4, 51_700, 14.0, scaffold.actin_subunits),
        ("filament", config.nucleic_filaments, scaffold.NUCLEIC_RADIUS_ANGSTROM, 5e2, 2_200, 7.5, None),
    )  # fmt: skip
    for name, count, radius, persistence, volume_a3, sigma, subunits_of in kinds:
        for _ in range(count):
            path = _free_path(semantic, sample, config, radius, persistence, rng)
            if path is None:
                continue
            centres = path if subunits_of is None else subunits_of(path, _PATH_STEP_ANGSTROM)
            smoothed = float(np.hypot(sigma, SMOOTHING_VOXELS * voxel))
            amplitude = volume_a3 / ((2 * np.pi) ** 1.5 * smoothed**3)
            scaffold.add_blobs(density, indices_from_positions(centres, voxel), smoothed / voxel, amplitude)
            reach = max(radius / voxel, 1.0)
            scaffold.label_tube(semantic, indices_from_positions(path, voxel), reach, _CLASS[name])


def _free_path(
    semantic: NDArray[np.uint8],
    sample: NDArray[np.bool_],
    config: SimulationConfig,
    radius: float,
    persistence: float,
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Draw a path (x, y, z in Å) through the slab whose tube meets nothing drawn before; None if none is found."""
    voxel = config.voxel_size_angstrom
    nz, ny, nx = config.shape_zyx
    taken = semantic > 0
    length = 2.5 * voxel * max(ny, nx) if persistence > 1e3 else rng.uniform(500, 2500)
    for _ in range(_FILAMENT_TRIES):
        start = np.array([nx, ny, nz]) * voxel * rng.uniform(0.1, 0.9, 3)
        spread = max(0.0, config.thickness_angstrom / 2 - radius)
        start[2] = nz * voxel / 2 + rng.uniform(-0.8, 0.8) * spread
        azimuth, lean = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.12 if persistence > 1e3 else 0.8)
        direction = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(np.clip(lean, -1.2, 1.2))])
        path = scaffold.worm_like_chain(start, direction, length, persistence, _PATH_STEP_ANGSTROM, rng)
        indices = indices_from_positions(path, voxel)
        # Leave one voxel between neighbours, so that their labels do not touch.
        if scaffold.tube_is_free(taken, indices, radius / voxel + 1.5):
            return path
    return None
