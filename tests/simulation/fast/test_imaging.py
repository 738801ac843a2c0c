"""The fast path against the exact one: projections, images, counts and back-projection one by one."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import fft, ndimage

from cryosiam.domain import Picks
from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.planes import TiltPlanes
from cryosiam.simulation.fast.transfer import SeriesTransfer, TiltState
from cryosiam.simulation.microscope.imaging import nominal_ctf, take_tilt_series
from cryosiam.simulation.microscope.reconstruction import Reconstructions, _correction_filter, reconstruct_volumes
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import Specimen

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (48, 80, 96)
VOXEL = 10.0
ALIGNED = {"shift_angstrom": 0, "rotation_deg": 0}
MICROSCOPES: dict[str, dict[str, Any]] = {
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


def recipe(name: str, **detector: object) -> SimulationSpec:
    microscope = {"optics": {}, "detector": {}, "alignment": ALIGNED} | MICROSCOPES[name]
    microscope["optics"] = {"defocus_gradient": False} | microscope["optics"]
    microscope["detector"] = microscope["detector"] | detector
    return SimulationSpec.model_validate(
        {
            "shape_zyx": SHAPE,
            "voxel_size_angstrom": VOXEL,
            "specimen": {"slab": {"thickness_nm": 30, "tilt_deg": 0}},
            "microscope": microscope,
        }
    )


@cache
def specimen() -> Specimen:
    """Return blobs in a slab."""
    rng = np.random.default_rng(3)
    slab = np.zeros(SHAPE, np.float32)
    slab[9:39] = rng.random((30, *SHAPE[1:])) < 0.01
    sample = np.zeros(SHAPE, np.bool_)
    sample[9:39] = True
    nothing = np.zeros(SHAPE, np.float32)
    density = (ndimage.gaussian_filter(slab, 1.0) * 8).astype(np.float32)
    labels = np.zeros(SHAPE, np.int32)
    picks = Picks("run", np.zeros((0, 3)), np.zeros(0), ())
    return Specimen(
        VOXEL, density, nothing, labels.astype(np.uint8), labels, labels.astype(np.uint16), (), sample, picks, {}
    )


def seen() -> NDArray[np.float32]:
    return specimen().density


def photographed(name: str, seed: int, **detector: object) -> tuple[TiltState, Reconstructions]:
    """Return the state and the volumes of the exact path."""
    spec = recipe(name, **detector)
    series = take_tilt_series(specimen(), spec, np.random.default_rng(seed))
    return TiltState.of_series(series), reconstruct_volumes(series, spec, SHAPE)


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


def power(volumes: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.mean([np.abs(fft.rfftn(one)) ** 2 for one in volumes], axis=0)


@pytest.mark.parametrize("name", MICROSCOPES)
def test_signal_is_that_of_the_exact_path(name: str) -> None:
    state, exact = photographed(name, 5, counting_noise=False)
    fast = FastMicroscope(recipe(name, counting_noise=False)).image(seen(), np.random.default_rng(0), state)
    assert fourier_shell_correlation(exact.noisy, fast.noisy).min() > 0.95
    assert exact.corrected is not None
    assert fast.corrected is not None
    assert fourier_shell_correlation(exact.corrected, fast.corrected).min() > 0.95


@pytest.mark.parametrize("name", MICROSCOPES)
def test_noise_has_the_level_and_spectrum_of_the_exact_path(name: str) -> None:
    """Half of the difference of the halves is the noise of the main volume, on its scale."""
    microscope = FastMicroscope(recipe(name))
    rng = np.random.default_rng(9)
    noise: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    for seed in range(3):
        state, exact = photographed(name, seed)
        for kind, volumes in zip(noise, (exact, microscope.image(seen(), rng, state)), strict=True):
            assert volumes.halves is not None
            kind.append((volumes.halves[0] - volumes.halves[1]) / 2)
    assert np.std(noise[1]) == pytest.approx(np.std(noise[0]), rel=0.05)
    shell, angle = shells(SHAPE)
    powers = power(noise[0]), power(noise[1])
    radial = [np.bincount(shell.ravel(), one.ravel())[2:20] for one in powers]
    np.testing.assert_allclose(radial[1], radial[0], rtol=0.1)
    central = np.abs(angle) < 30
    for sector in (central, ~central & (angle > 0), ~central & (angle < 0)):
        sums = [np.bincount(shell[sector] // 2, one[sector])[2:10] for one in powers]
        np.testing.assert_allclose(sums[1], sums[0], rtol=0.1)


@pytest.mark.parametrize("shape", [SHAPE, (33, 45, 51)])
def test_same_seed_same_bytes_whatever_the_threads(shape: tuple[int, int, int]) -> None:
    """Also of odd shapes; halves add up to the whole."""
    before = torch.get_num_threads()
    density = np.random.default_rng(0).random(shape, np.float32)
    microscope = FastMicroscope(recipe("plain"), shape)
    made = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(microscope.image(density, np.random.default_rng(1)))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        np.testing.assert_array_equal(other.noisy, made[0].noisy)
        np.testing.assert_array_equal(other.corrected, made[0].corrected)
    halves = made[0].halves
    assert halves is not None
    np.testing.assert_allclose((halves[0] + halves[1]) / 2, made[0].noisy, atol=1e-5)
    assert made[0].noisy.shape == shape
    assert made[0].noisy.std() == pytest.approx(1, rel=1e-4)
    assert np.abs(np.corrcoef((halves[0] - halves[1]).ravel(), made[0].noisy.ravel())[0, 1]) < 0.05


def test_protein_is_dark() -> None:
    volumes = FastMicroscope(recipe("plain")).image(seen(), np.random.default_rng(1))
    assert volumes.corrected is not None
    assert np.corrcoef(volumes.corrected.ravel(), seen().ravel())[0, 1] < -0.3


def test_wiener_filter_is_that_of_the_exact_path() -> None:
    spec = recipe("flipped and astigmatic")
    planes = TiltPlanes(SHAPE, [0.0, 30.0])
    state = dataclasses.replace(
        TiltState.nominal(spec),
        tilt_angles_deg=np.array([0.0, 30.0]),
        prior_dose=np.zeros(2),
        defocus_um=np.full(2, 4.5),
        phase_shift_deg=np.array([0.0, 40.0]),
        shifts_angstrom=np.zeros((2, 2)),
    )
    wiener = SeriesTransfer(spec, planes, state).wiener(slice(None)).numpy()
    for tilt in range(2):
        kx = planes.kx[:, None] / planes.cosines[tilt]
        inside = kx[:, 0] <= 0.5
        k, azimuth = np.hypot(planes.ky, kx) / VOXEL, np.arctan2(planes.ky, kx)
        ctf = nominal_ctf(spec.microscope.optics, 4.5, state.phase_shift_deg[tilt]).at(k, azimuth)
        expected = _correction_filter(ctf, k, "wiener")
        np.testing.assert_allclose(wiener[inside, tilt], expected[inside], atol=0.05 * np.abs(expected).max())
