from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryosiam.domain import ArrayVolume
from cryosiam.evaluation import FourierShells, fourier_shell_correlation


def by_the_whole_transform(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation from full complex transforms, shell by shell."""
    first, second = np.fft.fftn(a), np.fft.fftn(b)
    axes = np.meshgrid(*(np.fft.fftfreq(size) for size in a.shape), indexing="ij")
    shell = np.rint(np.sqrt(sum(axis**2 for axis in axes)) * min(a.shape)).astype(int)
    curve = []
    for number in range(min(a.shape) // 2 + 1):
        x, y = first[shell == number], second[shell == number]
        curve.append(np.vdot(x, y).real / np.sqrt(np.vdot(x, x).real * np.vdot(y, y).real))
    return np.array(curve)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.tuples(*[st.integers(4, 20)] * 3), st.integers(1, 20_000))
def test_agrees_with_the_whole_transform_whatever_the_memory(
    seed: int, shape: tuple[int, int, int], work_bytes: int
) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(1, 1, shape).astype(np.float32)
    b = (a + rng.normal(0, 1, shape)).astype(np.float32)
    shells = fourier_shell_correlation(ArrayVolume(a), ArrayVolume(b), 5.0, work_bytes)
    expected = by_the_whole_transform(a.astype(np.float64), b.astype(np.float64))
    assert shells.correlation == pytest.approx(expected, abs=1e-5)
    assert shells.frequency_per_angstrom[-1] == pytest.approx((min(shape) // 2) / min(shape) / 5.0)


def test_a_volume_is_like_itself_and_unlike_its_negative_and_noise() -> None:
    rng = np.random.default_rng(0)
    volume, other = rng.normal(0, 1, (2, 32, 40, 36)).astype(np.float32)
    same = fourier_shell_correlation(ArrayVolume(volume), ArrayVolume(3 * volume), 10.0)
    assert same.correlation == pytest.approx(1.0, abs=1e-5)
    assert same.resolution_angstrom(0.5) == 20.0
    assert fourier_shell_correlation(ArrayVolume(volume), ArrayVolume(-volume), 10.0).correlation == pytest.approx(-1.0)
    noise = fourier_shell_correlation(ArrayVolume(volume), ArrayVolume(other), 10.0)
    assert np.abs(noise.correlation[6:]).max() < 0.1
    assert np.isnan(noise.resolution_angstrom(0.99))


def test_volumes_that_share_low_frequencies_only_part_where_those_end() -> None:
    rng = np.random.default_rng(1)
    shared, first, second = np.fft.fftn(rng.normal(0, 1, (3, 48, 48, 48)), axes=(1, 2, 3))
    axes = np.meshgrid(*[np.fft.fftfreq(48)] * 3, indexing="ij")
    low = np.sqrt(sum(axis**2 for axis in axes)) < 0.25
    a, b = (np.fft.ifftn(np.where(low, shared, own)).real.astype(np.float32) for own in (first, second))
    shells = fourier_shell_correlation(ArrayVolume(a), ArrayVolume(b), 10.0)
    # 0.25 per voxel is 40 Å; one shell is a 48th of that frequency wide.
    assert shells.resolution_angstrom(0.5) == pytest.approx(40.0, rel=0.1)
    assert 1 / (0.025 + 2 / 480) < shells.resolution_angstrom(0.143) <= shells.resolution_angstrom(0.5)


def test_crossings_by_hand() -> None:
    shells = FourierShells(np.array([0.0, 0.01, 0.02, 0.03]), np.array([1.0, 0.9, 0.6, 0.1]), 16.0)
    # From 0.6 at 0.02 to 0.1 at 0.03: 0.5 is a fifth of the way.
    assert shells.resolution_angstrom(0.5) == pytest.approx(1 / 0.022)
    assert shells.resolution_angstrom(0.05) == 32.0


def test_low_frequencies_that_are_not_transferred_are_not_the_resolution() -> None:
    frequency = np.linspace(0, 0.05, 6)
    curve = FourierShells(frequency, np.array([0.0, 0.1, 0.8, 0.6, 0.4, 0.2]), 10.0)
    assert curve.resolution_angstrom(0.5) == pytest.approx(1 / 0.035)
    assert np.isnan(curve.resolution_angstrom(0.9))


def test_other_shapes_are_refused() -> None:
    volume = np.zeros((8, 8, 8), np.float32)
    with pytest.raises(ValueError, match="the volumes are"):
        fourier_shell_correlation(ArrayVolume(volume), ArrayVolume(volume[1:]), 10.0)
