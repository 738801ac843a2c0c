from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as skimage_similarity

from cryosiam.domain import ArrayVolume
from cryosiam.evaluation import GreyMatch, match_grey_values, psnr_db, structural_similarity

AS_IT_IS = {"slope": 1.0, "intercept": 0.0, "correlation": 1.0}


def noisy_pair(seed: int, shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    clean = rng.normal(0, 1, shape).cumsum(axis=0).cumsum(axis=2).astype(np.float32)
    return (clean + rng.normal(0, 2, shape)).astype(np.float32), clean


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(7, 60), st.integers(7, 40), st.integers(7, 20))
def test_psnr_and_ssim_agree_with_scikit_image(seed: int, z: int, y: int, x: int) -> None:
    volume, clean = noisy_pair(seed, (z, y, x))
    data_range = float(np.ptp(clean))
    match = GreyMatch(data_range=data_range, **AS_IT_IS)
    a, b = ArrayVolume(volume), ArrayVolume(clean)
    # scikit-image keeps float32 sums in float32.
    wide = volume.astype(np.float64), clean.astype(np.float64)
    assert psnr_db(a, b, match) == pytest.approx(peak_signal_noise_ratio(wide[1], wide[0], data_range=data_range))
    assert structural_similarity(a, b, match) == pytest.approx(skimage_similarity(*wide, data_range=data_range))


def test_ssim_across_blocks_agrees_with_scikit_image() -> None:
    volume, clean = noisy_pair(1, (53, 211, 9))
    match = GreyMatch(data_range=50.0, **AS_IT_IS)
    expected = skimage_similarity(volume.astype(np.float64), clean.astype(np.float64), data_range=50.0)
    assert structural_similarity(ArrayVolume(volume), ArrayVolume(clean), match) == pytest.approx(expected)


def test_psnr_by_hand() -> None:
    clean = np.zeros((2, 2, 2), np.float32)
    clean[0, 0, 0] = 10.0
    volume = clean + 1.0
    # Range 10, mean squared error 1.
    match = GreyMatch(data_range=10.0, **AS_IT_IS)
    assert psnr_db(ArrayVolume(volume), ArrayVolume(clean), match) == pytest.approx(20.0)
    assert math.isinf(psnr_db(ArrayVolume(clean), ArrayVolume(clean), match))


def test_grey_values_in_another_unit_make_no_difference() -> None:
    volume, clean = noisy_pair(2, (30, 40, 20))
    for values in (volume, 250.0 * volume - 3e4):
        match = match_grey_values(ArrayVolume(values.astype(np.float32)), ArrayVolume(clean))
        expected = np.polyfit(values.ravel().astype(np.float64), clean.ravel().astype(np.float64), 1)
        assert (match.slope, match.intercept) == pytest.approx(expected, rel=1e-3)
        assert match.correlation == pytest.approx(np.corrcoef(volume.ravel(), clean.ravel())[0, 1], rel=1e-4)
        assert match.data_range == pytest.approx(np.ptp(clean))


def test_inverted_contrast_is_not_mended() -> None:
    volume, clean = noisy_pair(3, (10, 12, 14))
    match = match_grey_values(ArrayVolume(-volume), ArrayVolume(clean))
    assert match.slope == 0.0
    assert match.intercept == pytest.approx(clean.mean(), rel=1e-4)
    assert match.correlation < 0


def test_a_volume_of_one_value_is_as_good_as_the_mean() -> None:
    _, clean = noisy_pair(4, (10, 12, 14))
    flat = ArrayVolume(np.ones_like(clean))
    match = match_grey_values(flat, ArrayVolume(clean))
    assert np.isnan(match.correlation)
    expected = 10 * np.log10(np.ptp(clean) ** 2 / clean.astype(np.float64).var())
    assert psnr_db(flat, ArrayVolume(clean), match) == pytest.approx(expected, rel=1e-6)


def test_what_cannot_be_compared_is_refused() -> None:
    volume, clean = noisy_pair(5, (8, 9, 10))
    broken = volume.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not a finite number"):
        match_grey_values(ArrayVolume(broken), ArrayVolume(clean))
    with pytest.raises(ValueError, match="constant"):
        match_grey_values(ArrayVolume(volume), ArrayVolume(np.ones_like(clean)))
    with pytest.raises(ValueError, match="the clean one is"):
        match_grey_values(ArrayVolume(volume[1:]), ArrayVolume(clean))
    thin = ArrayVolume(clean[:6])
    with pytest.raises(ValueError, match="7 voxels or more"):
        structural_similarity(thin, thin, GreyMatch(data_range=1.0, **AS_IT_IS))
