from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import find_peaks

from cryosiam.simulation.microscope.ctf import (
    CTF,
    electron_wavelength_angstrom,
    frequency_grid,
    interaction_constant,
)

WARP = Path(__file__).resolve().parents[4] / "shared" / "data" / "benchmark" / "warp_ctf" / "ctf_reference.mrc"
needs_data = pytest.mark.skipif(not WARP.exists(), reason=f"no shared data at {WARP}")

optics = st.builds(
    CTF,
    defocus_um=st.floats(0.5, 6.0),
    voltage_kv=st.sampled_from([200.0, 300.0]),
    spherical_aberration_mm=st.sampled_from([0.0, 0.01, 2.0, 2.7]),
    amplitude_contrast=st.floats(0.0, 0.2),
    phase_shift_deg=st.floats(0.0, 120.0),
)


@needs_data
def test_two_images_by_warp_are_ours_with_the_same_sign():
    """C# Warp, its parameters in gen_ctf.txt: phase shift in units of pi, B-factor negative, image times Scale."""
    images = mrcfile.read(WARP)
    ours = [
        0.9 * CTF(1.5, 0.3, 25, 300, 2.7, 0.1, 0.4 * 180, 40).image((256, 256), 1.1),
        CTF(2.5, 0, 0, 200, 2.7, 0.07, 0, 40).image((256, 256), 1.5),
    ]
    # The row of the Nyquist frequency along y is both +0.5 and -0.5: Warp takes the one, numpy the other.
    rows = np.arange(256) != 128
    assert np.abs(images[0] - ours[0])[rows].max() < 5e-4
    assert np.abs(images[1] - ours[1]).max() < 5e-4
    frequency, azimuth = frequency_grid((256, 256), 1.1)
    nyquist = 0.9 * CTF(1.5, 0.3, 25, 300, 2.7, 0.1, 72, 40).at(frequency[128], -azimuth[128])
    assert np.abs(images[0, 128] - nyquist).max() < 5e-4


def test_wavelength_and_interaction_constant_are_those_of_the_tables():
    assert electron_wavelength_angstrom(300) == pytest.approx(0.019687, rel=1e-4)
    assert electron_wavelength_angstrom(200) == pytest.approx(0.025079, rel=1e-4)
    assert interaction_constant(300) == pytest.approx(6.526e-4, rel=1e-3)


def test_the_image_is_the_curve_on_the_grid_of_the_transform():
    ctf = CTF(3.0)
    values = ctf.image((32, 48), 10.0)
    assert values.shape == (32, 25)
    assert values.dtype == np.float32
    assert values[0, 7] == pytest.approx(float(ctf.at(7 / 480)), abs=1e-6)
    assert values[5, 0] == pytest.approx(float(ctf.at(5 / 320)), abs=1e-6)
    assert values[0, 0] == pytest.approx(0.07)


@given(ctf=optics)
def test_zeros_are_all_the_zeros(ctf):
    highest = 0.15
    k = np.linspace(1e-5, highest, 40_001)
    values = ctf.at(k)
    crossings = k[:-1][np.signbit(values[:-1]) != np.signbit(values[1:])]
    zeros = ctf.zeros(highest)
    assert np.abs(ctf.at(zeros)).max(initial=0) < 1e-9
    assert (np.diff(zeros) > 0).all()
    # Two zeros within one step of the search, at the turning point of the phase, hide from it.
    close = np.abs(crossings[:, None] - zeros[None]).min(axis=1, initial=1)
    assert (close < 2 * (k[1] - k[0])).all()
    assert len(zeros) - len(crossings) in (0, 1, 2)


def test_overfocus_and_no_aberration_have_zeros_too():
    assert CTF(-1.0, amplitude_contrast=0.0).zeros(0.1) == pytest.approx([0.0712], abs=1e-4)
    assert CTF(1.0, spherical_aberration_mm=0.0, amplitude_contrast=0.0).zeros(0.1) == pytest.approx(
        [1 / np.sqrt(1e4 * electron_wavelength_angstrom(300))]
    )
    assert CTF(0.0, spherical_aberration_mm=0.0).zeros(0.2).size == 0


def power_of_noise(ctf, size, pixel, seed=1):
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((size, size)))
    image = np.fft.irfft2(noise * ctf.image((size, size), pixel), s=(size, size))
    return np.abs(np.fft.rfft2(image)) ** 2


def minima(power, bins):
    """Measure the minima of a radial power spectrum, in bins, with no word from theory."""
    radial = np.log(np.bincount(bins, power) / np.bincount(bins) + 1e-6)
    places, _ = find_peaks(-radial[: bins.max()], prominence=2.0, distance=4)
    # Power is quadratic about a zero: centre the parabola through three bins.
    linear = np.exp(radial)
    below, at, above = linear[places - 1], linear[places], linear[places + 1]
    return places + 0.5 * (below - above) / (below - 2 * at + above)


@pytest.mark.parametrize("phase_shift_deg", [0.0, 45.0, 90.0])
@pytest.mark.parametrize("defocus_um", [2.0, 3.5])
def test_thon_zeros_of_noise_lie_where_theory_puts_them(defocus_um, phase_shift_deg):
    size, pixel = 1024, 4.0
    ctf = CTF(defocus_um, phase_shift_deg=phase_shift_deg)
    frequency, _ = frequency_grid((size, size), pixel)
    bins = np.round(frequency * size * pixel).astype(int)
    inside = bins < size // 2
    measured = minima(power_of_noise(ctf, size, pixel)[inside], bins[inside]) / (size * pixel)
    expected = ctf.zeros(0.495 / pixel)
    assert len(expected) >= 3
    assert measured[: len(expected)] == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("direction_deg", [0.0, 25.0, 120.0])
def test_astigmatic_rings_point_where_they_should(direction_deg):
    """Measure the defocus in sectors by the first zero, and fit its cosine."""
    size, pixel, mean_um, spread_um = 1024, 4.0, 3.0, 0.6
    ctf = CTF(mean_um, spread_um, direction_deg)
    frequency, azimuth = frequency_grid((size, size), pixel)
    power = power_of_noise(ctf, size, pixel)
    sectors = np.deg2rad(np.arange(0, 180, 10))
    zeros = []
    for sector in sectors:
        off = (azimuth - sector + np.pi / 2) % np.pi - np.pi / 2
        inside = (np.abs(off) < np.deg2rad(5)) & (frequency < 0.055) & (frequency > 0.025)
        bins = np.round(frequency[inside] * size * pixel).astype(int)
        radial = np.bincount(bins, power[inside])[bins.min() :] / np.bincount(bins)[bins.min() :]
        near = slice(radial.argmin() - 6, radial.argmin() + 7)
        fit = np.polyfit(np.arange(13), radial[near], 2)
        zeros.append((bins.min() + near.start - fit[1] / (2 * fit[0])) / (size * pixel))
    k2 = np.square(zeros)
    wavelength = electron_wavelength_angstrom(300)
    defocus = ((np.pi - np.arcsin(0.07)) / (np.pi * wavelength * k2) + 0.5 * 2.7e7 * wavelength**2 * k2) / 1e4
    design = np.stack([np.ones_like(sectors), np.cos(2 * sectors), np.sin(2 * sectors)], axis=1)
    mean, cosine, sine = np.linalg.lstsq(design, defocus, rcond=None)[0]
    assert mean == pytest.approx(mean_um, rel=0.01)
    assert 2 * np.hypot(cosine, sine) == pytest.approx(spread_um, rel=0.1)
    off_deg = np.rad2deg(np.arctan2(sine, cosine) / 2) - direction_deg
    assert abs((off_deg + 90) % 180 - 90) < 2


def test_protein_is_dark_and_overfocus_makes_it_bright():
    """A broad Gaussian of phase, in focus enough that the first zero lies beyond it."""
    y, x = np.mgrid[-32:32, -32:32]
    phase = np.fft.ifftshift(np.exp(-(x**2 + y**2) / (2 * 8**2)))
    dark, bright = (
        1 - 2 * np.fft.irfft2(np.fft.rfft2(phase) * CTF(d, amplitude_contrast=0.0).image((64, 64), 10.0), s=(64, 64))
        for d in (2.0, -2.0)
    )
    assert dark[0, 0] < dark.mean()
    assert bright[0, 0] > bright.mean()
