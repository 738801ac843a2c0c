"""The fast path against tilt images that are projected, imaged and reconstructed one by one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import fft, ndimage

from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.transfer import TiltState
from cryosiam.simulation.microscope.ctf import CTF, interaction_constant
from cryosiam.simulation.microscope.damage import signal_left
from cryosiam.simulation.microscope.detector import mtf, noise_transfer
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.structures import PROTEIN_CONTRAST_VOLT
from cryosiam.tomography.back_projection import back_project, r_weight
from cryosiam.tomography.projection import project

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (48, 80, 96)
VOXEL = 10.0
MARGIN = 24
ALIGNED = {"shift_angstrom": 0, "rotation_deg": 0}
MICROSCOPES: dict[str, dict[str, dict[str, object]]] = {
    "plain": {"alignment": ALIGNED},
    "phase plate": {"optics": {"phase_shift_deg": 90, "phase_shift_per_tilt_deg": 0.5, "defocus_um": 0.5}},
    "flipped and astigmatic": {
        "optics": {"astigmatism_um": 0.6, "astigmatism_deg": 30, "defocus_um": 4.5, "envelope_b_factor": 300},
        "reconstruction": {"ctf_correction": "phase-flip"},
    },
    "asymmetric with gaps": {
        "tilts": {"min_deg": -66, "max_deg": 42, "missing_deg": (-9, 12, 15)},
        "alignment": {"shift_angstrom": 6, "rotation_deg": 0, "blur_voxels": 0.4},
        "detector": {"kind": "falcon4"},
    },
    "continuous in twos": {
        "tilts": {"scheme": "continuous", "min_deg": -50, "max_deg": 50, "step_deg": 2},
        "alignment": ALIGNED,
        "detector": {"kind": "ideal"},
    },
}


def recipe(name: str) -> SimulationSpec:
    return SimulationSpec.model_validate(
        {
            "shape_zyx": SHAPE,
            "voxel_size_angstrom": VOXEL,
            "specimen": {"slab": {"thickness_nm": 30}},
            "microscope": MICROSCOPES[name],
        }
    )


@cache
def specimen() -> NDArray[np.float32]:
    """Return blobs in a slab."""
    rng = np.random.default_rng(3)
    slab = np.zeros(SHAPE, np.float32)
    slab[9:39] = rng.random((30, *SHAPE[1:])) < 0.01
    blobs: NDArray[np.float32] = ndimage.gaussian_filter(slab, 1.0) * 15
    return blobs


def images_one_by_one(
    density: NDArray[np.float32], spec: SimulationSpec, state: TiltState, noise: np.random.Generator | None
) -> NDArray[np.float32]:
    """Project, image and reconstruct as the exact path does, without what depends on position."""
    optics, width = spec.microscope.optics, SHAPE[2] + 2 * MARGIN
    images = project(density, state.tilt_angles_deg, image_width=width, mirror=True)
    ky, kx = np.fft.fftfreq(SHAPE[1], VOXEL)[:, None], np.fft.rfftfreq(width, VOXEL)
    k = np.hypot(ky, kx)
    kind = spec.microscope.detector.kind
    contrast = -2 * interaction_constant(300) * PROTEIN_CONTRAST_VOLT * VOXEL
    blur = np.exp(-2 * (np.pi * spec.microscope.alignment.blur_voxels * VOXEL * k) ** 2)  # type: ignore[operator]

    def transfer(defocus: float, phase: float, b_factor: float) -> NDArray[np.float64]:
        ctf = CTF(
            defocus,
            optics.astigmatism_um,  # type: ignore[arg-type]
            optics.astigmatism_deg,  # type: ignore[arg-type]
            phase_shift_deg=phase,
            b_factor=b_factor,
        )
        return ctf.image((SHAPE[1], width), VOXEL)

    for index, image in enumerate(images):
        defocus, phase = state.defocus_um[index], state.phase_shift_deg[index]
        x, y = state.shifts_angstrom[index]
        left = signal_left(k, state.prior_dose[index], state.dose_per_tilt)
        seen = contrast * mtf(kind, k * VOXEL) * left * np.exp(-2j * np.pi * (kx * x + ky * y)) * blur
        seen = seen * transfer(defocus, phase, optics.envelope_b_factor)  # type: ignore[arg-type]
        spectrum = fft.rfft2(image) * seen
        if noise is not None:
            path_nm = 30 / np.cos(np.deg2rad(state.tilt_angles_deg[index]))
            electrons = state.dose_per_tilt * VOXEL**2 * np.exp(-path_nm / 310)
            counted = noise.standard_normal(image.shape) / np.sqrt(electrons)
            spectrum += fft.rfft2(counted) * noise_transfer(kind, k * VOXEL) * blur
        if spec.microscope.reconstruction.ctf_correction == "phase-flip":
            spectrum *= np.where(transfer(optics.defocus_um, phase, 0.0) < 0, -1, 1)  # type: ignore[arg-type]
        image[:] = fft.irfft2(spectrum, s=image.shape)
    volume = back_project(r_weight(images), state.tilt_angles_deg, SHAPE[0])
    return np.ascontiguousarray(volume[:, :, MARGIN : MARGIN + SHAPE[2]])


def shells(shape: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the shell (0.025 cycles per voxel wide) and the angle from the x-y plane, about y, of each frequency."""
    kz, ky, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in shape[:2]), np.fft.rfftfreq(shape[2]), indexing="ij")
    shell = (np.sqrt(kz**2 + ky**2 + kx**2) / 0.025).astype(np.int64)
    return shell, np.rad2deg(np.arctan2(kz, kx))


def fourier_shell_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the correlation in each shell up to half the Nyquist frequency."""
    a, b = fft.rfftn(one), fft.rfftn(other)
    shell, _ = shells(one.shape)

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.bincount(shell.ravel(), values.ravel())[:10]

    return total((a * b.conj()).real) / np.sqrt(total(np.abs(a) ** 2) * total(np.abs(b) ** 2))


@pytest.mark.parametrize("name", MICROSCOPES)
def test_signal_is_that_of_images_taken_one_by_one(name: str) -> None:
    spec = recipe(name)
    state = TiltState.drawn(spec, np.random.default_rng(5))
    exact = images_one_by_one(specimen(), spec, state, None)
    fast = FastMicroscope(spec).signal(specimen(), state)
    correlation = fourier_shell_correlation(exact, fast)
    assert correlation.min() > 0.95
    assert fast.std() == pytest.approx(exact.std(), rel=0.05)


@pytest.mark.parametrize("name", MICROSCOPES)
def test_noise_has_the_level_and_spectrum_of_counted_images(name: str) -> None:
    spec = recipe(name)
    rng = np.random.default_rng(6)
    state = TiltState.drawn(spec, rng)
    nothing = np.zeros(SHAPE, np.float32)
    exact = [images_one_by_one(nothing, spec, state, rng) for _ in range(4)]
    microscope = FastMicroscope(spec)
    fast = [microscope.noise(rng, state) for _ in range(4)]
    assert np.std(fast) == pytest.approx(np.std(exact), rel=0.03)
    shell, angle = shells(SHAPE)
    power = [np.mean([np.abs(fft.rfftn(one)) ** 2 for one in several], axis=0) for several in (exact, fast)]
    radial = [np.bincount(shell.ravel(), one.ravel())[:20] for one in power]
    np.testing.assert_allclose(radial[1][2:], radial[0][2:], rtol=0.1)
    seen = np.abs(angle) < 30
    for sector in (seen, ~seen & (angle > 0), ~seen & (angle < 0)):
        sums = [np.bincount(shell[sector] // 2, one[sector])[2:10] for one in power]
        np.testing.assert_allclose(sums[1], sums[0], rtol=0.1)
