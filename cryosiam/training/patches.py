"""Random patches of scenes, augmented as in thesis section 3.2.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.training.imaged import ImagedSpecimen

LABELS = ("semantic", "sample", "boundary", "distance")


def augment_grey(patch: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change grey values only: low-pass, high-pass or noise, then gain and offset.

    The ranges are those of the thesis where they leave the signal of a noisy volume alive: low-pass sigma 0.5 to 1
    voxel, difference of Gaussians, additive noise of 0.1 to 0.5 standard deviations.
    """
    choice = rng.random()
    if choice < 0.15:
        patch = ndimage.gaussian_filter(patch, rng.uniform(0.4, 1.0))
        patch /= max(float(patch.std()), 1e-3)
    elif choice < 0.25:
        patch = patch - ndimage.gaussian_filter(patch, rng.uniform(8, 20))
        patch /= max(float(patch.std()), 1e-3)
    elif choice < 0.4:
        patch = patch + rng.normal(0, rng.uniform(0.1, 0.5), patch.shape).astype(np.float32)
    return (patch * rng.uniform(0.85, 1.15) + rng.uniform(-0.15, 0.15)).astype(np.float32)


def orient(arrays: dict[str, NDArray[np.generic]], rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Flip along each axis and turn by quarters about z, all arrays alike.

    A quarter turn moves the tilt axis from y to x, so the network meets the missing wedge along both.
    """
    flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
    quarters = int(rng.integers(4))
    return {name: np.rot90(np.flip(array, flips), quarters, axes=(1, 2)) for name, array in arrays.items()}


def cut_patch(
    imaged: ImagedSpecimen, size: tuple[int, int, int], rng: np.random.Generator, rare: float = 0.5
) -> dict[str, Tensor]:
    """Cut a patch and augment it.

    Parameters
    ----------
    imaged
        A tomogram with its labels.
    size
        Patch in voxels along z, y, x.
    rng
        Source of all randomness.
    rare
        Share of patches about a voxel of a class drawn evenly of those that occur, so that thin and rare structures
        are met as often as common ones; the others lie anywhere.

    Returns
    -------
    dict
        ``noisy`` and ``clean`` as ``(1, z, y, x)`` float32; ``semantic`` and ``instances`` as ``(z, y, x)`` int64; the
        other labels as ``(1, z, y, x)`` float32, ``distance`` in voxels.
    """
    low = [int(rng.integers(0, n - s + 1)) for n, s in zip(imaged.shape, size, strict=True)]
    places = imaged.specimen.places
    if places and rng.random() < rare:
        voxels = places[int(rng.integers(len(places)))]
        voxel = voxels[int(rng.integers(len(voxels)))]
        low = [
            int(np.clip(at - rng.integers(0, s), 0, n - s)) for at, s, n in zip(voxel, size, imaged.shape, strict=True)
        ]
    z, y, x = (slice(a, a + s) for a, s in zip(low, size, strict=True))
    arrays = orient(imaged.cut((z, y, x)), rng)
    noisy = augment_grey(arrays["noisy"].astype(np.float32), rng)
    patch = {"noisy": torch.from_numpy(np.ascontiguousarray(noisy))[None]}
    patch["clean"] = torch.from_numpy(arrays["clean"].astype(np.float32))[None]
    for name in ("semantic", "instances"):
        patch[name] = torch.from_numpy(arrays[name].astype(np.int64))
    patch["foreground"] = (patch["instances"] > 0).float()[None]
    for name in ("sample", "boundary"):
        patch[name] = torch.from_numpy(arrays[name].astype(np.float32))[None]
    patch["distance"] = torch.from_numpy(arrays["distance"].astype(np.float32) / 2)[None]
    return patch
