"""Views of a volume for self-supervised training: filters, noise and masked voxels (thesis section 3.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from cryosiam.training.augment.blur import gaussian_blur
from cryosiam.training.augment.contrast import contrast, with_contrast
from cryosiam.training.augment.ranges import Range, ShareRange, drawn

if TYPE_CHECKING:
    from torch import Tensor


class ViewRecipe(BaseModel):
    """Which changes make a view, with the ranges of thesis section 3.2.1; None leaves a change out.

    Attributes
    ----------
    low_pass_sigma_voxels
        Of the Gaussian low-pass.
    high_pass_narrow_sigma_voxels, high_pass_wide_sigma_voxels
        Of the two Gaussians whose difference is the high-pass; both None leave it out.
    noise_sigma
        Of the added noise, in standard deviations of the volume.
    masked_share
        Share of voxels that are masked, anew in every view.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low_pass_sigma_voxels: Range | None = (0.5, 2.0)
    high_pass_narrow_sigma_voxels: Range | None = (0.1, 0.5)
    high_pass_wide_sigma_voxels: Range | None = (1.0, 1.5)
    noise_sigma: Range | None = (0.1, 0.5)
    masked_share: ShareRange | None = (0.1, 0.5)


THESIS: Final = ViewRecipe()
"""All changes of the thesis, in its ranges."""


def random_view(
    volume: Tensor, rng: np.random.Generator, recipe: ViewRecipe = THESIS, support: Tensor | None = None
) -> Tensor:
    """Return a random view of a volume.

    Of low-pass, high-pass and noise a view gets one, all, or none, each as often: so each is also met alone, as in the
    published training. Masking comes last and in every view. A filtered view is brought back to mean and standard
    deviation of the volume, so that views differ in what they show and not in contrast.

    Parameters
    ----------
    volume
        ``(z, y, x)`` float32; not changed.
    rng
        Source of all randomness.
    recipe
        What may be done.
    support
        ``(z, y, x)`` bool, voxels that count, as in a cube that shows one particle and is 0 elsewhere: the others keep
        their values and say nothing about mean and standard deviation. All by default.

    Returns
    -------
    Tensor
        ``(z, y, x)`` float32. Masked voxels hold the mean of the volume.
    """
    deviation, mean = contrast(volume, support)
    changes = _drawn_changes(recipe, rng)
    view = volume
    if "low_pass" in changes and recipe.low_pass_sigma_voxels:
        view = gaussian_blur(view, drawn(recipe.low_pass_sigma_voxels, rng))
    if "high_pass" in changes and recipe.high_pass_narrow_sigma_voxels and recipe.high_pass_wide_sigma_voxels:
        narrow = drawn(recipe.high_pass_narrow_sigma_voxels, rng)
        wide = drawn(recipe.high_pass_wide_sigma_voxels, rng)
        view = gaussian_blur(view, narrow) - gaussian_blur(view, wide)
    if view is not volume:
        view = with_contrast(view, deviation, mean, support)
    if "noise" in changes and recipe.noise_sigma:
        noise = torch.from_numpy(rng.standard_normal(tuple(volume.shape), np.float32))
        view = torch.add(view, noise * (deviation * drawn(recipe.noise_sigma, rng)))
    if recipe.masked_share:
        masked = torch.from_numpy(rng.random(tuple(volume.shape), np.float32)) < drawn(recipe.masked_share, rng)
        view = torch.where(masked, mean, view)
    if view is volume:
        return volume.clone()
    return view if support is None else torch.where(support, view, volume)


def _drawn_changes(recipe: ViewRecipe, rng: np.random.Generator) -> tuple[str, ...]:
    high_pass = recipe.high_pass_narrow_sigma_voxels and recipe.high_pass_wide_sigma_voxels
    ranges = {"low_pass": recipe.low_pass_sigma_voxels, "high_pass": high_pass, "noise": recipe.noise_sigma}
    allowed = tuple(name for name, limits in ranges.items() if limits)
    plans = [(), *((name,) for name in allowed), allowed]
    return plans[int(rng.integers(len(plans)))]
