"""Varied recipes for training: specimen and microscope drawn from the ranges that real data sets span."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cryosiam.simulation.spec import (
    AlignmentSpec,
    DetectorSpec,
    ExposureSpec,
    FilamentSpec,
    MembraneSpec,
    MicroscopeSpec,
    OpticsSpec,
    ReconstructionSpec,
    SimulationSpec,
    SlabSpec,
    SpeciesSpec,
    SpecimenSpec,
    TiltSpec,
)

_STREAM = 0xC0F


def draw_spec(
    seed: int,
    species: Sequence[SpeciesSpec],
    shape_zyx: tuple[int, int, int] = (96, 256, 256),
    voxel_size_angstrom: float = 10.0,
) -> SimulationSpec:
    """Draw a recipe for training.

    Parameters
    ----------
    seed
        Same seed, same recipe.
    species
        Particles to pack.
    shape_zyx, voxel_size_angstrom
        Volume in voxels, and the voxel's edge in Å.

    Returns
    -------
    SimulationSpec
        Ranges: occupancy 0.05-0.4, slab of 45-95 % of the volume's depth, defocus 2-5 µm, tilts of 40-66° and 2-3°
        steps, total dose 80-140 e/Å², contrast 0.16-1.4 of the computed, half of them phase-flipped, a tenth with a
        phase plate near focus.
    """
    rng = np.random.default_rng([seed, _STREAM])
    area = shape_zyx[1] * shape_zyx[2] * voxel_size_angstrom**2 / 2560.0**2
    return SimulationSpec(
        name="training",
        shape_zyx=shape_zyx,
        voxel_size_angstrom=voxel_size_angstrom,
        specimen=_specimen(rng, species, area, shape_zyx[0] * voxel_size_angstrom / 10),
        microscope=draw_microscope(rng),
    )


def _specimen(rng: np.random.Generator, species: Sequence[SpeciesSpec], area: float, depth_nm: float) -> SpecimenSpec:
    """Draw what is in the ice; ``area`` is that of the field in units of 256 nm squared."""
    thickness_nm = float(depth_nm * rng.uniform(0.45, 0.95))
    return SpecimenSpec(
        slab=SlabSpec(
            thickness_nm=thickness_nm,
            tilt_deg=float(rng.uniform(0, 9)),
            azimuth_deg=float(rng.uniform(0, 360)),
            wedge_deg=float(rng.uniform(0, 3)),
            roughness_angstrom=float(rng.uniform(5, 40)),
        ),
        membranes=MembraneSpec(
            vesicles=int(rng.poisson(2.0 * area)),
            vesicle_diameter_nm=(36.0, max(40.0, 0.84 * thickness_nm)),
            irregular=int(rng.poisson(0.4 * area)),
            irregular_diameter_nm=(50.0, max(60.0, thickness_nm)),
            sheets=int(rng.random() < 0.5),
            protein_share=float(rng.uniform(0, 0.25)),
        ),
        filaments=FilamentSpec(
            microtubules=int(rng.poisson(0.8 * area)),
            actin=int(rng.poisson(4.0 * area)),
            dna=1 + int(rng.poisson(9.0 * area)),
            dna_length_nm=(50.0, 500.0),
            protofilaments=(12, 15),
            nucleosomes=int(rng.poisson(25.0 * area)) if rng.random() < 0.4 else 0,
            nucleosome_source="builtin:nucleosome",
        ),
        species=tuple(species),
        occupancy=float(rng.uniform(0.05, 0.4)),
        gold_beads=int(rng.poisson(1.0 * area)) if rng.random() < 0.25 else 0,
        carbon_film_nm=float(rng.uniform(5, 15)) if rng.random() < 0.15 else 0.0,
        background_std=float(rng.uniform(0.05, 0.2)),
    )


def draw_microscope(rng: np.random.Generator) -> MicroscopeSpec:
    """Draw a microscope from the ranges of :func:`draw_spec`."""
    tilt_max = float(rng.choice([40.0, 50.0, 54.0, 60.0, 60.0, 60.0, 66.0]))
    tilt_min = -tilt_max if rng.random() < 0.7 else -float(rng.choice([40.0, 48.0, 54.0, 60.0]))
    # Doses of 0.2 to 4 times the nominal show in the images as a change of contrast against the noise.
    dose_factor = float(np.exp(rng.uniform(np.log(0.2), np.log(4.0))))
    phase_plate = rng.random() < 0.1
    return MicroscopeSpec(
        tilts=TiltSpec(min_deg=tilt_min, max_deg=tilt_max, step_deg=float(rng.choice([2.0, 3.0, 3.0]))),
        exposure=ExposureSpec(total_dose=float(rng.uniform(80, 140))),
        optics=OpticsSpec(
            defocus_um=float(rng.uniform(0.3, 1.0) if phase_plate else rng.uniform(2.0, 5.0)),
            phase_shift_deg=float(rng.uniform(60, 120)) if phase_plate else 0.0,
            amplitude_contrast=float(rng.uniform(0.07, 0.1)),
            contrast_factor=float(rng.uniform(0.35, 0.7) * np.sqrt(dose_factor)),
        ),
        detector=DetectorSpec(kind=str(rng.choice(["k2", "k3", "falcon4"]))),
        alignment=AlignmentSpec(
            shift_angstrom=float(rng.uniform(0, 8)),
            rotation_deg=float(rng.uniform(0, 0.2)),
            blur_voxels=float(rng.uniform(0, 0.45)),
        ),
        reconstruction=ReconstructionSpec(
            ctf_correction="phase-flip" if rng.random() < 0.5 else "none", corrected_volume=False, halves=False
        ),
    )
