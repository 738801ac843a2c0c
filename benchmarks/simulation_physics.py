"""The physics of simulated images, measured against theory; `bench_simulation.py` prints the results.

The same invariants are held by the tests. Here they are measured, at sizes and doses that show how far they hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryosiam.domain import Picks
from cryosiam.simulation.microscope.ctf import CTF
from cryosiam.simulation.microscope.imaging import take_tilt_series
from cryosiam.simulation.microscope.reconstruction import reconstruct_volumes
from cryosiam.simulation.microscope.wedge import energy_outside_tilts
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import Specimen

IDEAL: dict[str, dict[str, Any]] = {
    "tilts": {},
    "optics": {"defocus_spread_um": 0.0},
    "exposure": {"radiation_damage": False, "inelastic_mean_free_path_nm": 0.0},
    "detector": {"kind": "ideal", "counting_noise": False},
    "alignment": {"shift_angstrom": 0.0, "rotation_deg": 0.0},
    "reconstruction": {"halves": False, "corrected_volume": False},
}
"""A microscope without any defect but its CTF."""

IN_FOCUS = {"phase_shift_deg": 90.0, "defocus_um": 0.0, "spherical_aberration_mm": 0.0, "defocus_gradient": False}
"""A perfect phase plate in focus: the CTF is 1, but for the amplitude contrast."""


def specimen_of(density: NDArray[np.floating], voxel_size_angstrom: float) -> Specimen:
    """Return a specimen that holds a density and nothing else."""
    shape = density.shape
    return Specimen(
        voxel_size_angstrom=voxel_size_angstrom,
        density=density.astype(np.float32),
        unlabelled=np.zeros(shape, np.float32),
        semantic=np.zeros(shape, np.uint8),
        instances=np.zeros(shape, np.int32),
        scaffold=np.zeros(shape, np.uint16),
        scaffold_kinds=(),
        sample_mask=np.ones(shape, np.bool_),
        picks=Picks("measured", np.zeros((0, 3)), np.zeros(0), ()),
        radii_angstrom={},
    )


def recipe_of(specimen: Specimen, **parts: dict[str, Any]) -> SimulationSpec:
    """Return a recipe with the ideal microscope; ``parts`` replace fields of it."""
    return SimulationSpec.model_validate(
        {
            "shape_zyx": specimen.density.shape,
            "voxel_size_angstrom": specimen.voxel_size_angstrom,
            "specimen": {"slab": {"thickness_nm": 0.09 * len(specimen.density) * specimen.voxel_size_angstrom}},
            "microscope": {name: {**fields, **parts.get(name, {})} for name, fields in IDEAL.items()},
        }
    )


def thon_error(phase_shift_deg: float) -> float:
    """Return the largest relative error of a Thon ring's zero in a counted K2 image of a carbon film."""
    pixel, size, worst = 4.0, 960, 0.0
    rng = np.random.default_rng(0)
    grain = np.zeros((16, size, size))
    grain[6:9] = rng.standard_normal((3, size, size))
    film = specimen_of(grain, pixel)
    for defocus in (1.5, 2.5, 4.0):
        spec = recipe_of(
            film,
            tilts={"min_deg": 0, "max_deg": 0},
            optics={"defocus_um": defocus, "phase_shift_deg": phase_shift_deg},
            detector={"kind": "k2", "counting_noise": True},
            exposure={"total_dose": 1000.0},
        )
        image = take_tilt_series(film, spec, np.random.default_rng(1)).images[0]
        frequency, power = _rings(image, pixel, 240)
        for zero in (z for z in CTF(defocus, phase_shift_deg=phase_shift_deg).zeros(0.09) if z > 0.02):
            # A third of the way to the next maximum of CTF^2, whose argument grows by pi lambda dz k^2 (300 kV).
            reach = 0.33 / (4 * 0.01969 * defocus * 1e4 * zero)
            near = np.abs(frequency - zero) < reach
            # The error of a ring's mean power grows with the power.
            a, b, _ = np.polyfit(frequency[near] - zero, power[near], 2, w=1 / power[near])
            found = zero - b / (2 * a)
            worst = max(worst, abs(found / zero - 1))
    return worst


def _rings(image: NDArray[np.float32], pixel: float, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean frequency and mean power of rings up to Nyquist."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.rfft2((image / image.mean() - 1) * window)) ** 2
    ky, kx = np.fft.fftfreq(image.shape[0], pixel), np.fft.rfftfreq(image.shape[1], pixel)
    frequency = np.hypot(ky[:, None], kx)
    ring = np.minimum((frequency * 2 * pixel * count).astype(int), count).ravel()
    held = np.maximum(np.bincount(ring, minlength=count + 1), 1)[:count]
    sums = (np.bincount(ring, values.ravel(), count + 1)[:count] for values in (frequency, power))
    first, second = (one / held for one in sums)
    return first, second


def energy_outside_wedge(sigma_voxels: float) -> float:
    """Return the share of a reconstruction's energy outside the tilted planes, for blobs of one size."""
    shape = (128, 32, 192)
    rng = np.random.default_rng(0)
    points = np.zeros(shape, np.float32)
    for z, y, x in rng.uniform((40, 4, 50), (88, 28, 142), (12, 3)).astype(int):
        points[z, y, x] = 1
    blobs = specimen_of(50 * ndimage.gaussian_filter(points, sigma_voxels), 6.8)
    spec = recipe_of(blobs, optics=IN_FOCUS)
    series = take_tilt_series(blobs, spec, np.random.default_rng(0))
    volume = reconstruct_volumes(series, spec, shape).noisy
    return energy_outside_tilts(volume, series.tilt_angles_deg)


def bead_error() -> float:
    """Return the largest distance in pixels of a projected bead from where geometry puts it, over 41 tilts."""
    shape, worst = (40, 56, 64), 0.0
    for place in ((20, 28, 32), (11.3, 28.4, 45.6), (28.7, 20.2, 18.1)):
        axes = np.ogrid[tuple(slice(n) for n in shape)]
        squares = sum((axis - at) ** 2 for axis, at in zip(axes, place, strict=True))
        bead = specimen_of(np.exp(-squares / (2 * 2.5**2)), 6.8)
        series = take_tilt_series(bead, recipe_of(bead, optics=IN_FOCUS), np.random.default_rng(0))
        z, y, x = (p - n // 2 for p, n in zip(place, shape, strict=True))
        for image, tilt in zip(series.images, np.deg2rad(series.tilt_angles_deg), strict=True):
            expected = np.array([y, x * np.cos(tilt) + z * np.sin(tilt)]) + np.array(image.shape) // 2
            low = np.rint(expected).astype(int) - 8
            window = image[low[0] : low[0] + 17, low[1] : low[1] + 17]
            found = np.array(ndimage.center_of_mass(window.max() - window)) + low
            worst = max(worst, float(np.abs(found - expected).max()))
    return worst


def signal_to_noise_error() -> float:
    """Return the largest relative error of an image's signal-to-noise ratio, over tilts and doses.

    A grating in ice, with loss of electrons in the thickness met; the signal from an image without noise, the noise
    from repeats.
    """
    pixel, worst = 4.0, 0.0
    wave = np.cos(2 * np.pi * (np.arange(192) + 0.5) / 8)
    grating = specimen_of(np.broadcast_to(0.3 * wave[None, :, None], (16, 192, 160)).copy(), pixel)
    for dose in (50.0, 200.0, 800.0):

        def images(counting: bool, seed: int, dose: float = dose) -> NDArray[np.float32]:
            spec = recipe_of(
                grating,
                tilts={"min_deg": -60, "max_deg": 60, "step_deg": 30},
                optics=IN_FOCUS,
                exposure={"total_dose": dose, "inelastic_mean_free_path_nm": 20.0},
                detector={"counting_noise": counting},
            )
            return take_tilt_series(grating, spec, np.random.default_rng(seed)).images

        clean, first, second = images(False, 0), images(True, 1), images(True, 2)
        signal = 2 * (clean.mean(axis=2) @ wave / len(wave)) ** 2
        measured = signal / ((first - second).var(axis=(1, 2)) / 2)
        path = 16 * pixel / np.cos(np.deg2rad([-60, -30, 0, 30, 60]))
        electrons = dose / 5 * pixel**2 * np.exp(-path / 200.0)
        # 6.5262e-4 rad / (V Å) at 300 kV; cos(asin 0.07) is the CTF of the plate.
        contrast = 2 * 6.5262e-4 * 3.4 * 0.3 * path * np.sqrt(1 - 0.07**2)
        worst = max(worst, float(np.abs(measured / (electrons * contrast**2 / 2) - 1).max()))
    return worst
