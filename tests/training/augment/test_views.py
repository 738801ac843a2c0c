"""Views of thesis section 3.2.1: each change does what it says, in its range, and repeats from its seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from cryosiam.training.augment.blur import gaussian_blur
from cryosiam.training.augment.views import ViewRecipe, random_view

NOTHING = dict.fromkeys(ViewRecipe.model_fields)
NONE_OF_THEM = ViewRecipe(**NOTHING)


@pytest.fixture
def volume() -> torch.Tensor:
    return 3.0 + 2.0 * torch.from_numpy(np.random.default_rng(0).standard_normal((20, 24, 28), np.float32))


def only(**ranges: tuple[float, float]) -> ViewRecipe:
    return ViewRecipe(**(NOTHING | ranges))


def views(volume: torch.Tensor, recipe: ViewRecipe, count: int = 12) -> list[torch.Tensor]:
    return [random_view(volume, np.random.default_rng(seed), recipe) for seed in range(count)]


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 12), st.tuples(*[st.integers(1, 17)] * 3))
def test_the_blur_is_that_of_scipy(sigma: float, shape: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    expected = ndimage.gaussian_filter(volume, sigma, mode="reflect")
    np.testing.assert_allclose(gaussian_blur(torch.from_numpy(volume), sigma), expected, atol=1e-5)


def test_same_seed_same_view_and_the_volume_stays(volume: torch.Tensor) -> None:
    before = volume.clone()
    first, second = (random_view(volume, np.random.default_rng(5)) for _ in range(2))
    other = random_view(volume, np.random.default_rng(6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(volume, before)
    assert first.dtype == torch.float32
    assert first.shape == volume.shape


def test_with_all_switched_off_a_view_is_a_copy(volume: torch.Tensor) -> None:
    view = random_view(volume, np.random.default_rng(0), NONE_OF_THEM)
    assert torch.equal(view, volume)
    view += 1
    assert not torch.equal(view, volume)


def test_masked_voxels_hold_the_mean_and_the_others_their_value(volume: torch.Tensor) -> None:
    shares = []
    for view in views(volume, only(masked_share=(0.1, 0.5)), 40):
        masked = view != volume
        shares.append(float(masked.float().mean()))
        torch.testing.assert_close(view[masked], volume.mean().expand(int(masked.sum())))
    assert min(shares) > 0.08
    assert max(shares) < 0.52
    assert max(shares) - min(shares) > 0.3


def test_noise_is_in_units_of_the_standard_deviation(volume: torch.Tensor) -> None:
    changed = [view - volume for view in views(volume, only(noise_sigma=(0.25, 0.25))) if not torch.equal(view, volume)]
    assert 3 < len(changed) < 12
    for noise in changed:
        assert float(noise.std() / volume.std()) == pytest.approx(0.25, rel=0.05)
        assert abs(float(noise.mean())) < 0.05 * float(volume.std())


def test_low_pass_and_high_pass_take_the_other_frequencies(volume: torch.Tensor) -> None:
    def share_of_high(view: torch.Tensor) -> float:
        power = torch.fft.fftn(view - view.mean()).abs() ** 2
        radius = sum(f**2 for f in torch.meshgrid(*map(torch.fft.fftfreq, view.shape), indexing="ij")) ** 0.5
        return float(power[radius > 0.25].sum() / power.sum())

    low_pass = only(low_pass_sigma_voxels=(0.8, 0.8))
    high_pass = only(high_pass_narrow_sigma_voxels=(0.3, 0.3), high_pass_wide_sigma_voxels=(1.0, 1.0))
    before = share_of_high(volume)
    for recipe, sign in ((low_pass, -1), (high_pass, 1)):
        changes = [sign * (share_of_high(view) - before) for view in views(volume, recipe)]
        assert min(changes) > -1e-4  # some views are left as they are
        assert max(changes) > 0.02


def test_filtered_views_keep_mean_and_contrast(volume: torch.Tensor) -> None:
    recipe = ViewRecipe(noise_sigma=None, masked_share=None)
    for view in views(volume, recipe, 20):
        torch.testing.assert_close(view.mean(), volume.mean(), rtol=1e-4, atol=0)
        torch.testing.assert_close(view.std(), volume.std(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("level", [0.0, 7.25])
def test_a_flat_volume_stays_flat(level: float) -> None:
    flat = torch.full((8, 8, 8), level)
    for view in views(flat, ViewRecipe(), 30):
        torch.testing.assert_close(view, flat, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"noise_sigma": (0.5, 0.1)}, {"masked_share": (0.1, 1.5)}, {"noise_sigma": (-1, 1)}, {"noize": (0, 1)}],
)
def test_impossible_ranges_and_unknown_names_are_refused(wrong: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValidationError):
        ViewRecipe(**wrong)
