"""Subtomograms: cubes of the denoised volume, one per instance, the neighbours faded out or shown beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
from torch.nn import functional as F

from cryosiam.geometry import volume_centre_index

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.domain import Volume
    from cryosiam.inference.normalisation import Normalisation

MaskKind = Literal["soft", "strict", "hull", "none", "surroundings"]
"""How a particle is cut out of its surroundings."""

MASK_MARGIN_VOXELS: Final = 2
"""The mask reaches this far beyond the instance, because predicted instances are a little tight."""


def cut_crops(
    denoised: Volume,
    instances: NDArray[np.integer],
    centres_zyx: NDArray[np.float64],
    instance_ids: NDArray[np.int64],
    box: int,
    *,
    mask: MaskKind = "soft",
    scale: Normalisation | None = None,
) -> Tensor:
    """Cut one masked cube per particle.

    Parameters
    ----------
    denoised
        Denoised volume, solvent 0 and protein negative, read around each particle only.
    instances
        ``(z, y, x)`` instance labels on the same grid; a memory map will do.
    centres_zyx
        ``(n, 3)`` centres in voxels.
    instance_ids
        ``(n,)`` label of each particle.
    box
        Edge of the cube in voxels.
    mask
        ``soft``: the instance grown by `MASK_MARGIN_VOXELS`, with a soft edge; ``strict``: the same with a hard edge;
        ``hull``: its convex hull; ``none``: neighbours stay; ``surroundings``: two channels, the first as ``soft``, the
        second all that lies in the largest ball in the cube, which shows what the instance may have lost of the
        particle.
    scale
        Applied to the voxels before the mask.

    Returns
    -------
    Tensor
        ``(n, c, box, box, box)`` float32, with `crop_channels` of ``mask`` channels; outside the volume and away from
        the instance it is 0 (solvent).
    """
    values = np.zeros((len(centres_zyx), box, box, box), np.float32)
    masks = np.zeros(values.shape, bool)
    shape = np.array(instances.shape)
    for i, (centre, label) in enumerate(zip(centres_zyx, instance_ids, strict=True)):
        start = np.rint(centre).astype(np.int64) - box // 2
        low, high = np.maximum(start, 0), np.minimum(start + box, shape)
        if (low >= high).any():
            continue
        source = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        target = tuple(slice(int(a - s), int(b - s)) for a, b, s in zip(low, high, start, strict=True))
        voxels = denoised.read((source[0], source[1], source[2]))
        values[i][target] = voxels if scale is None else scale.apply(voxels)
        masks[i][target] = instances[source] == label if mask != "none" else True
    cubes = torch.from_numpy(values)[:, None]
    if mask != "surroundings":
        return cubes * _weights(masks, mask)
    return torch.cat([cubes * _weights(masks, "soft"), cubes * _ball(box)], dim=1)


def crop_channels(mask: MaskKind) -> int:
    """Return how many channels the cubes of `cut_crops` have."""
    return 2 if mask == "surroundings" else 1


def crops_for(input_channels: int) -> MaskKind:
    """Return how particles are cut out for networks that are trained here, by the channels that they read."""
    return "surroundings" if input_channels == crop_channels("surroundings") else "soft"


def _ball(box: int) -> Tensor:
    """Return a cube that is 1 in the largest ball about its centre voxel: rotations leave nothing out of it."""
    squared = (torch.arange(box) - volume_centre_index(box)) ** 2
    inside = squared[:, None, None] + squared[:, None] + squared < (box // 2) ** 2
    return inside.to(torch.float32)


def _weights(masks: NDArray[np.bool_], kind: MaskKind) -> Tensor:
    """Return what voxels are multiplied with, ``(n, 1, z, y, x)``."""
    if kind == "none":
        return torch.from_numpy(masks)[:, None]
    grown = _grown(masks)
    if kind == "hull":
        grown = np.stack([_convex_hull(one) for one in grown]) if len(grown) else grown
    if kind != "soft":
        return torch.from_numpy(grown)[:, None]
    weights = torch.from_numpy(grown.astype(np.float32))[:, None]
    # A mean over three voxels along each axis in turn softens the mask's edge.
    for width in ((3, 1, 1), (1, 3, 1), (1, 1, 3)):
        weights = F.avg_pool3d(weights, width, stride=1, padding=tuple(w // 2 for w in width))
    return weights


def _convex_hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of ``(z, y, x)`` whose centres lie in the convex hull of those that are set."""
    from scipy.spatial import ConvexHull, QhullError

    points = np.argwhere(mask)
    try:
        planes = ConvexHull(points).equations
    except (QhullError, ValueError):
        # Too few voxels, or all in one plane: they are their own hull.
        return mask
    inside = np.ones(mask.shape, bool)
    depth, height, width = mask.shape
    z, y, x = np.ogrid[:depth, :height, :width]
    for a, b, c, offset in planes:
        inside &= a * z + b * y + c * x + offset <= 1e-6
    return inside


def _grown(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return each mask of ``(n, z, y, x)`` grown by a cube of `MASK_MARGIN_VOXELS`, one axis after the other."""
    for axis in (1, 2, 3):
        source = np.moveaxis(masks, axis, 0)
        grown = source.copy()
        for step in range(1, MASK_MARGIN_VOXELS + 1):
            grown[step:] |= source[:-step]
            grown[:-step] |= source[step:]
        masks = np.moveaxis(grown, 0, axis)
    return masks
