"""What to simulate: specimen and microscope, and a helper that draws varied ones for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SimulationConfig:
    """Specimen and microscope of one simulated tomogram.

    Parameters
    ----------
    shape_zyx, voxel_size_angstrom
        Volume in voxels, and the cubic voxel's edge in Å.
    occupancy
        Share of the free slab filled by particle masks; packing stops earlier where nothing fits.
    thickness_angstrom, slab_tilt_deg, slab_azimuth_deg, surface_roughness_angstrom
        The sample: a slab about the volume's centre, its normal ``slab_tilt_deg`` away from z towards
        ``slab_azimuth_deg`` (from x to y), with surfaces that undulate by ``surface_roughness_angstrom`` (rms).
    vesicles, membrane_sheets, microtubules, actin_filaments, nucleic_filaments, gold_beads
        How many of each.
    background_std
        Fluctuation (rms, protein = 1) of ice and small solutes; not part of the clean volume.
    tilt_min_deg, tilt_max_deg, tilt_step_deg
        Tilt scheme about y; exposed dose-symmetrically from 0.
    dose_per_tilt
        Electrons per Å² and tilt.
    dose_factor
        Multiplies the counted electrons (1 = physical); lower gives noisier volumes.
    contrast_factor
        Share of the computed phase contrast that images show (computed contrast is larger than
        observed contrast).
    defocus_um, defocus_spread_um
        Mean underfocus and its spread over the tilts.
    phase_flip
        Correct the sign of the CTF before reconstruction, as most public tomograms are.
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        Microscope.
    image_blur_voxels
        Standard deviation of the Gaussian that blurs images, signal and noise, as interpolation during
        alignment and binning does.
    alignment_error_angstrom
        Standard deviation of the residual shift of each tilt along x and y.
    """

    shape_zyx: tuple[int, int, int] = (96, 256, 256)
    voxel_size_angstrom: float = 10.0
    occupancy: float = 0.2
    thickness_angstrom: float = 700.0
    slab_tilt_deg: float = 4.0
    slab_azimuth_deg: float = 30.0
    surface_roughness_angstrom: float = 20.0
    vesicles: int = 2
    membrane_sheets: int = 0
    microtubules: int = 1
    actin_filaments: int = 3
    nucleic_filaments: int = 2
    gold_beads: int = 0
    background_std: float = 0.1
    tilt_min_deg: float = -60.0
    tilt_max_deg: float = 60.0
    tilt_step_deg: float = 3.0
    dose_per_tilt: float = 3.0
    dose_factor: float = 1.0
    contrast_factor: float = 0.5
    defocus_um: float = 3.5
    defocus_spread_um: float = 0.1
    phase_flip: bool = True
    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.07
    alignment_error_angstrom: float = 4.0
    image_blur_voxels: float = 0.25

    def __post_init__(self) -> None:
        if min(self.shape_zyx) < 8 or self.voxel_size_angstrom <= 0:
            raise ValueError(f"cannot simulate {self.shape_zyx} voxels of {self.voxel_size_angstrom} Å")
        if not 0 <= self.occupancy < 1:
            raise ValueError(f"occupancy must be in [0, 1), not {self.occupancy}")
        if self.tilt_step_deg <= 0 or self.tilt_max_deg <= self.tilt_min_deg:
            raise ValueError("tilts must rise from tilt_min_deg to tilt_max_deg in positive steps")
        if min(self.dose_per_tilt, self.dose_factor, self.thickness_angstrom) <= 0:
            raise ValueError("dose and thickness must be positive")

    @property
    def tilt_angles_deg(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Tilt angles in degrees, ascending."""
        count = int(np.floor((self.tilt_max_deg - self.tilt_min_deg) / self.tilt_step_deg + 1e-6)) + 1
        return self.tilt_min_deg + self.tilt_step_deg * np.arange(count, dtype=np.float64)


def draw_config(
    seed: int, shape_zyx: tuple[int, int, int] = (96, 256, 256), voxel_size_angstrom: float = 10.0
) -> SimulationConfig:
    """Draw a specimen and microscope from the range that real data sets span.

    Parameters
    ----------
    seed
        Same seed, same configuration.
    shape_zyx, voxel_size_angstrom
        Volume in voxels, and the voxel's edge in Å.

    Returns
    -------
    SimulationConfig
        Ranges: occupancy 0.05-0.4, thickness 45-95 % of the volume's depth, defocus 2-5 µm, tilts of 40-66° and
        2-3° steps, total dose 80-140 e/Å² counted 0.3-4 times, half of them phase-flipped.
    """
    rng = np.random.default_rng([seed, 0xC0F])
    depth = shape_zyx[0] * voxel_size_angstrom
    tilt_max = float(rng.choice([40.0, 50.0, 54.0, 60.0, 60.0, 60.0, 66.0]))
    tilt_min = -tilt_max if rng.random() < 0.7 else -float(rng.choice([40.0, 48.0, 54.0, 60.0]))
    step = float(rng.choice([2.0, 3.0, 3.0]))
    tilts = int((tilt_max - tilt_min) / step) + 1
    area = shape_zyx[1] * shape_zyx[2] * voxel_size_angstrom**2 / 2560.0**2
    return SimulationConfig(
        shape_zyx=shape_zyx,
        voxel_size_angstrom=voxel_size_angstrom,
        occupancy=float(rng.uniform(0.05, 0.4)),
        thickness_angstrom=float(depth * rng.uniform(0.45, 0.95)),
        slab_tilt_deg=float(rng.uniform(0, 9)),
        slab_azimuth_deg=float(rng.uniform(0, 360)),
        surface_roughness_angstrom=float(rng.uniform(5, 40)),
        vesicles=int(rng.poisson(2.0 * area)),
        membrane_sheets=int(rng.random() < 0.5),
        microtubules=int(rng.poisson(0.8 * area)),
        actin_filaments=int(rng.poisson(4.0 * area)),
        nucleic_filaments=int(rng.poisson(4.0 * area)),
        gold_beads=int(rng.poisson(1.0 * area)) if rng.random() < 0.25 else 0,
        background_std=float(rng.uniform(0.05, 0.2)),
        tilt_min_deg=tilt_min,
        tilt_max_deg=tilt_max,
        tilt_step_deg=step,
        dose_per_tilt=float(rng.uniform(80, 140) / tilts),
        dose_factor=float(np.exp(rng.uniform(np.log(0.3), np.log(4.0)))),
        contrast_factor=float(rng.uniform(0.35, 0.7)),
        defocus_um=float(rng.uniform(2.0, 5.0)),
        phase_flip=bool(rng.random() < 0.5),
        amplitude_contrast=float(rng.uniform(0.07, 0.1)),
        alignment_error_angstrom=float(rng.uniform(0, 8)),
        image_blur_voxels=float(rng.uniform(0, 0.45)),
    )
