import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.simulation.microscope.ctf import frequency_grid
from cryosiam.simulation.microscope.detector import dqe, mtf
from cryosiam.simulation.microscope.imaging import take_tilt_series
from cryosiam.simulation.microscope.noise import count, count_halves, counted_share, noise_filter
from cryosiam.simulation.spec import DetectorSpec

PIXEL = 4.0


def radial_mean(power, frequency, bins=16):
    ring = np.minimum((frequency / (0.5 / PIXEL) * bins).astype(int), bins).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[:bins]


@pytest.mark.parametrize("kind", ["k2", "k3", "falcon4", "ideal"])
@pytest.mark.parametrize("binning", [1, 4])
def test_noise_of_an_empty_image_has_the_spectrum_of_the_detector(kind, binning):
    detector = DetectorSpec(kind=kind, pixel_size_angstrom=PIXEL / binning)
    frequency = frequency_grid((384, 384), PIXEL)[0]
    expected = np.full((384, 384), 50.0, np.float32)
    image = count(expected, noise_filter(detector, frequency, PIXEL), np.random.default_rng(0))
    power = np.abs(np.fft.rfft2(image - expected)) ** 2 / expected.size
    cycles = frequency * PIXEL / binning
    # Noise equivalent: what DQE = MTF^2 / (n NPS) makes of n electrons of which DQE(0) are counted.
    theory = 50 * mtf(kind, cycles) ** 2 / (dqe(kind, cycles) / dqe(kind, 0.0))
    assert radial_mean(power, frequency)[1:] == pytest.approx(radial_mean(theory, frequency)[1:], rel=0.04)


@given(dose=st.floats(0.0, 40.0), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_halves_are_what_the_whole_counts_and_share_no_noise(dose, seed):
    expected = np.full((64, 64), dose, np.float32)
    transfer = noise_filter(DetectorSpec(), frequency_grid((64, 64), PIXEL)[0], PIXEL)
    whole = count(expected, transfer, np.random.default_rng(seed))
    even, odd = count_halves(expected, transfer, np.random.default_rng(seed))
    np.testing.assert_allclose(even + odd, whole, atol=1e-4 * max(dose, 1.0))
    if dose > 0.1:
        assert abs(np.corrcoef(even.ravel(), odd.ravel())[0, 1]) < 4.5 / 64
        assert even.mean() == pytest.approx(dose / 2, rel=5 / 64 / np.sqrt(dose / 2))


@pytest.fixture
def grating(make_specimen):
    """A slab with a wave of 8 pixels along y, the same in every projection but for the thickness met."""
    wave = 0.3 * np.cos(2 * np.pi * (np.arange(96) + 0.5) / 8)
    return make_specimen(np.broadcast_to(wave[None, :, None], (16, 96, 80)).copy(), PIXEL)


def signal_to_noise(series_of, tilts=(0,)):
    """Return signal variance over noise variance of some images: from the noiseless image, and from two repeats."""
    clean, first, second = (series_of(counting, seed) for counting, seed in ((False, 0), (True, 1), (True, 2)))
    wave = np.cos(2 * np.pi * (np.arange(96) + 0.5) / 8)
    ratios = []
    for tilt in tilts:
        signal = 2 * (clean[tilt].mean(axis=1) @ wave / 96) ** 2
        ratios.append(signal / ((first[tilt] - second[tilt]).var() / 2))
    return np.array(ratios)


def images_of(grating, make_spec, **parts):
    def series_of(counting_noise, seed):
        detector = {**parts.get("detector", {}), "counting_noise": counting_noise}
        spec = make_spec(grating, {"min_deg": -60, "max_deg": 60, "step_deg": 30}, **{**parts, "detector": detector})
        return take_tilt_series(grating, spec, np.random.default_rng(seed)).images

    return series_of


def test_signal_to_noise_of_every_tilt_is_that_of_theory(grating, make_spec, in_focus):
    exposure = {"total_dose": 200.0, "inelastic_mean_free_path_nm": 20.0}
    got = signal_to_noise(images_of(grating, make_spec, optics=in_focus, exposure=exposure), range(5))
    path = 16 * PIXEL / np.cos(np.deg2rad([-60, -30, 0, 30, 60]))
    electrons = 40 * PIXEL**2 * np.exp(-path / 200.0)
    # 6.5262e-4 rad / (V Å) at 300 kV; cos(asin 0.07) is the CTF of the plate.
    contrast = 2 * 6.5262e-4 * 3.4 * 0.3 * path * np.sqrt(1 - 0.07**2)
    assert got == pytest.approx(electrons * contrast**2 / 2, rel=0.05)


def test_signal_to_noise_grows_with_the_dose(grating, make_spec, in_focus):
    ratios = [
        signal_to_noise(images_of(grating, make_spec, optics=in_focus, exposure={"total_dose": dose}), [2])[0]
        for dose in (50.0, 200.0, 800.0)
    ]
    assert ratios[1:] == pytest.approx([4 * ratios[0], 16 * ratios[0]], rel=0.05)


@pytest.mark.parametrize("kind", ["k2", "falcon4"])
def test_a_detector_loses_what_its_quantum_efficiency_says(grating, make_spec, in_focus, kind):
    """At the wave's 1/8 cycle per pixel; white noise is compared at the frequency of the signal."""
    exposure = {"total_dose": 400.0}
    ideal = signal_to_noise(images_of(grating, make_spec, optics=in_focus, exposure=exposure), [2])[0]
    real = signal_to_noise(
        images_of(grating, make_spec, optics=in_focus, exposure=exposure, detector={"kind": kind}), [2]
    )[0]
    spectrum = noise_filter(DetectorSpec(kind=kind), frequency_grid((96, 96), PIXEL)[0], PIXEL) ** 2
    at_wave = noise_filter(DetectorSpec(kind=kind), np.array(0.125 / PIXEL), PIXEL) ** 2
    assert real / ideal * spectrum.mean() / at_wave == pytest.approx(dqe(kind, 0.125), rel=0.05)
    assert counted_share(DetectorSpec(kind=kind)) == dqe(kind, 0.0)


def test_blur_takes_signal_and_noise_alike(grating, make_spec, in_focus):
    optics = {"optics": in_focus, "exposure": {"total_dose": 400.0}}
    sharp, blurred = (
        images_of(grating, make_spec, **optics, alignment={"shift_angstrom": 0, "rotation_deg": 0, "blur_voxels": blur})
        for blur in (0.0, 1.0)
    )
    wave = np.cos(2 * np.pi * (np.arange(96) + 0.5) / 8)
    heights = [images(False, 0)[2].mean(axis=1) @ wave for images in (sharp, blurred)]
    assert heights[1] / heights[0] == pytest.approx(np.exp(-2 * (np.pi / 8) ** 2), rel=0.02)
    noise = [(images(True, 0)[2] - images(False, 0)[2]).var() for images in (sharp, blurred)]
    assert noise[1] / noise[0] == pytest.approx(1 / (4 * np.pi), rel=0.05)
