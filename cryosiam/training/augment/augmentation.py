"""All augmentations of a patch, in the order in which they happen in a microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from cryosiam.geometry import volume_centre_index
from cryosiam.training.augment.contrast import contrast, with_contrast
from cryosiam.training.augment.grey import augment_grey
from cryosiam.training.augment.optics import (
    ContrastTransferRecipe,
    ThicknessRecipe,
    with_contrast_transfer,
    with_less_dose,
)
from cryosiam.training.augment.orientation import orient
from cryosiam.training.augment.ranges import drawn
from cryosiam.training.augment.resampling import VoxelSizeRecipe, resampled
from cryosiam.training.augment.spectrum import SpectrumRecipe, borrow
from cryosiam.training.augment.wedge import WedgeRecipe, without_wedge

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Arrays = dict[str, NDArray[np.generic]]


class AugmentationRecipe(BaseModel):
    """Which augmentations are on. By default those for simulated specimens, whose microscopes vary by themselves.

    Attributes
    ----------
    orient
        Whether patches are mirrored along any axis and turned by quarters about z.
    grey
        Whether grey values are filtered, noised, scaled and shifted a little.
    voxel_size, spectrum, contrast_transfer, thickness, wedge
        Ranges of the others; None leaves one out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    orient: bool = True
    grey: bool = True
    voxel_size: VoxelSizeRecipe | None = None
    spectrum: SpectrumRecipe | None = None
    contrast_transfer: ContrastTransferRecipe | None = None
    thickness: ThicknessRecipe | None = None
    wedge: WedgeRecipe | None = None

    def cut_zyx(self, size_zyx: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the size to cut so that a patch of ``size_zyx`` needs no mirror image at any voxel size."""
        if self.voxel_size is None:
            return size_zyx
        depth, height, width = (int(np.ceil(n * (1 + self.voxel_size.spread))) + 4 for n in size_zyx)
        return depth, height, width


SIMULATED: Final = AugmentationRecipe()
"""For simulated specimens."""

REAL: Final = AugmentationRecipe(
    voxel_size=VoxelSizeRecipe(),
    contrast_transfer=ContrastTransferRecipe(),
    thickness=ThicknessRecipe(),
    wedge=WedgeRecipe(),
)
"""For labelled real tomograms; spectra to borrow are added by who has some."""


def augment_patch(
    arrays: Arrays,
    rng: np.random.Generator,
    recipe: AugmentationRecipe = SIMULATED,
    *,
    voxel_size_angstrom: float | None = None,
    size_zyx: tuple[int, int, int] | None = None,
) -> Arrays:
    """Augment one patch.

    All arrays are mirrored, turned and resampled alike. Grey values of ``noisy`` alone are changed further: spectrum,
    contrast transfer, dose, wedge, after which it has its old mean and standard deviation again, and then what ``grey``
    stands for.

    Parameters
    ----------
    arrays
        ``noisy`` and any others, all ``(z, y, x)`` of one shape, y as long as x where patches are turned; not changed.
        Which are labels, see :func:`cryosiam.training.augment.resampling.resampled`.
    rng
        Source of all randomness.
    recipe
        What may be done.
    voxel_size_angstrom
        Edge of the voxel; needed for spectra and contrast transfer.
    size_zyx
        Patch wanted, the middle of the arrays, which go on as their mirror image where they are smaller; see
        :meth:`AugmentationRecipe.cut_zyx`. By default the size of the arrays.

    Returns
    -------
    dict
        Arrays of shape ``size_zyx``; ``noisy`` is float32, the others keep their dtypes.

    Raises
    ------
    ValueError
        If the voxel size is needed and not given.
    """
    augmented = orient(arrays, rng) if recipe.orient else dict(arrays)
    augmented = _at_voxel_size(augmented, rng, recipe.voxel_size, size_zyx)
    noisy = augmented["noisy"].astype(np.float32)
    if recipe.spectrum or recipe.contrast_transfer or recipe.thickness or recipe.wedge:
        noisy = _imaged_otherwise(noisy, rng, recipe, voxel_size_angstrom)
    if recipe.grey:
        noisy = augment_grey(noisy, rng)
    return augmented | {"noisy": noisy}


def _at_voxel_size(
    arrays: Arrays, rng: np.random.Generator, recipe: VoxelSizeRecipe | None, size_zyx: tuple[int, int, int] | None
) -> Arrays:
    depth, height, width = shape = arrays["noisy"].shape
    wanted = size_zyx or (depth, height, width)
    if recipe and rng.random() < recipe.chance:
        # Evenly in the logarithm: larger and smaller are alike.
        spacing = float(np.exp(rng.uniform(-1, 1) * np.log1p(recipe.spread)))
        return resampled(arrays, spacing, wanted, recipe.interpolation)
    if any(m > n for m, n in zip(wanted, shape, strict=True)):
        return resampled(arrays, 1.0, wanted, "linear")
    starts = [volume_centre_index(n) - volume_centre_index(m) for n, m in zip(shape, wanted, strict=True)]
    z, y, x = (slice(start, start + m) for start, m in zip(starts, wanted, strict=True))
    return {name: array[z, y, x] for name, array in arrays.items()}


def _imaged_otherwise(
    noisy: NDArray[np.float32], rng: np.random.Generator, recipe: AugmentationRecipe, voxel_size_angstrom: float | None
) -> NDArray[np.float32]:
    before = volume = torch.from_numpy(np.ascontiguousarray(noisy))
    if recipe.spectrum or recipe.contrast_transfer:
        if voxel_size_angstrom is None:
            raise ValueError("spectra and contrast transfer need the voxel size")
        volume = _transferred(volume, rng, recipe, voxel_size_angstrom)
    if recipe.thickness and rng.random() < recipe.thickness.chance:
        volume = with_less_dose(volume, drawn(recipe.thickness.noise_sigma, rng), rng)
    if recipe.wedge and rng.random() < recipe.wedge.chance:
        volume = without_wedge(volume, *recipe.wedge.draw(rng))
    if volume is before:
        return noisy
    return with_contrast(volume, *contrast(before)).numpy()


def _transferred(volume: Tensor, rng: np.random.Generator, recipe: AugmentationRecipe, voxel_size: float) -> Tensor:
    spectrum, transfer = recipe.spectrum, recipe.contrast_transfer
    if spectrum and rng.random() < spectrum.chance:
        chosen = spectrum.spectra[int(rng.integers(len(spectrum.spectra)))]
        volume = borrow(volume, voxel_size, chosen, drawn(spectrum.strength, rng))
    if transfer and rng.random() < transfer.chance:
        volume = with_contrast_transfer(volume, voxel_size, *transfer.draw(rng), transfer.most)
    return volume
