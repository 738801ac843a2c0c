"""Two overlapping views of a patch, each changed in its own way, for self-supervised training (thesis section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryosiam.training.augment.views import ViewRecipe, random_view

if TYPE_CHECKING:
    from torch import Tensor

    from cryosiam.networks.simsiam import Overlap
    from cryosiam.training.task import Batch, Batches

Loss = Literal["global", "dense", "level"]


class SelfSupervision(BaseModel):
    """What DenseSimSiam learns from, and by which of its losses (thesis sections 3.1 and 3.2.1).

    Attributes
    ----------
    patch_zyx, view_zyx
        Patch in voxels, and the two views cut out of it. A view is more than half a patch along each axis, so that
        any two overlap.
    views
        How views are changed.
    losses
        Losses that count, equally.
    levels
        Pyramid levels with a loss: 1 is L2 of the thesis' table 5, 2 is L4, 3 is L8.
    global_channels
        Size of the embedding of a whole view.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_zyx: tuple[int, int, int] = (64, 64, 64)
    view_zyx: tuple[int, int, int] = (48, 48, 48)
    views: ViewRecipe = ViewRecipe()
    losses: tuple[Loss, ...] = Field(default=("global", "dense", "level"), min_length=1)
    levels: tuple[int, ...] = (1,)
    global_channels: int = Field(default=256, ge=4)

    @model_validator(mode="after")
    def _views_overlap(self) -> SelfSupervision:
        if not all(view <= patch < 2 * view for view, patch in zip(self.view_zyx, self.patch_zyx, strict=True)):
            raise ValueError("view_zyx must be more than half of patch_zyx along each axis, and no more than all of it")
        return self


@dataclass(frozen=True)
class Crops:
    """Where two views lie in a patch.

    Parameters
    ----------
    starts
        First voxel (z, y, x) of each view.
    size_zyx
        Size of both in voxels.
    """

    starts: tuple[tuple[int, int, int], tuple[int, int, int]]
    size_zyx: tuple[int, int, int]

    def slices(self, view: int) -> tuple[slice, slice, slice]:
        """Return where a view, 0 or 1, lies in the patch."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.starts[view], self.size_zyx, strict=True))
        return z, y, x

    def overlap(self, view: int) -> Overlap:
        """Return start and stop (z, y, x), counted in a view, of what both views show."""
        own, other = self.starts[view], self.starts[1 - view]
        start = [max(0, b - a) for a, b in zip(own, other, strict=True)]
        stop = [min(n, b - a + n) for a, b, n in zip(own, other, self.size_zyx, strict=True)]
        return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])


def draw_crops(
    patch_zyx: tuple[int, int, int], view_zyx: tuple[int, int, int], stride: int, rng: np.random.Generator
) -> Crops:
    """Draw two views anywhere in a patch, apart by multiples of the network's coarsest ``stride``.

    Only then do cells of all pyramid levels cover the same voxels in both views.

    Raises
    ------
    ValueError
        If ``view_zyx`` is not a multiple of ``stride``.
    """
    if any(n % stride for n in view_zyx):
        raise ValueError(f"views must be multiples of {stride} voxels, not {' x '.join(map(str, view_zyx))}")
    rooms = [(patch - view) // stride for patch, view in zip(patch_zyx, view_zyx, strict=True)]
    drawn = (rng.integers(0, np.array(rooms) + 1, size=(2, 3)) * stride).tolist()
    return Crops(((drawn[0][0], drawn[0][1], drawn[0][2]), (drawn[1][0], drawn[1][1], drawn[1][2])), view_zyx)


class TwoViewBatches:
    """Batches of view pairs; batch ``n`` depends on the seed and on ``n`` alone.

    Parameters
    ----------
    patches
        Gives batches of patches, ``noisy`` of shape ``(b, 1, z, y, x)`` among them.
    plan
        Views, their size and their changes.
    stride
        Voxels per cell of the network's coarsest level.
    seed
        Of crops and changes.
    """

    def __init__(self, patches: Batches, plan: SelfSupervision, stride: int, seed: int) -> None:
        self._patches, self._plan, self._stride, self._seed = patches, plan, stride, seed

    def __call__(self, number: int) -> Batch:
        """Return one batch.

        Returns
        -------
        dict
            ``view1`` and ``view2`` as ``(b, 1, z, y, x)`` float32, and ``overlap`` as ``(b, 2, 2, 3)`` int64: start
            and stop in voxels of the common region in each view, the same for all pairs of the batch.
        """
        volumes = self._patches(number)["noisy"][:, 0]
        count = len(volumes)
        size = self._plan.patch_zyx
        crops = draw_crops(size, self._plan.view_zyx, self._stride, np.random.default_rng([self._seed, 2, number]))
        views: list[list[Tensor]] = [[], []]
        for index, volume in enumerate(volumes):
            rng = np.random.default_rng([self._seed, 3, number, index])
            for side in (0, 1):
                views[side].append(random_view(volume[crops.slices(side)].contiguous(), rng, self._plan.views))
        overlap = torch.tensor([crops.overlap(0), crops.overlap(1)])
        return {
            "view1": torch.stack(views[0])[:, None],
            "view2": torch.stack(views[1])[:, None],
            "overlap": overlap.expand(count, 2, 2, 3),
        }
