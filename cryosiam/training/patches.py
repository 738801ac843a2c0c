"""Random patches of scenes, augmented as in thesis section 3.2.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cryosiam.training.augment.grey import augment_grey
from cryosiam.training.augment.orientation import orient

if TYPE_CHECKING:
    from cryosiam.training.imaged import ImagedSpecimen

LABELS = ("semantic", "sample", "boundary", "distance")


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
