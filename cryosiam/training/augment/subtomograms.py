"""Views of particles for SimSiam: turned, shifted, cropped and changed in grey value (thesis section 3.2.1)."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from cryosiam.geometry import volume_centre_index
from cryosiam.training.augment.views import ViewRecipe, random_view


class ParticleViewRecipe(BaseModel):
    """Which changes make a view of a particle; lengths are shares of the cube's edge, so they fit every box.

    Attributes
    ----------
    rotate
        Whether particles are turned, all rotations being equally likely.
    shift_share
        Largest shift along each axis: 10 voxels of 64.
    crop_share
        How much of the edge is cut away along each axis at most, in all; what is cut away becomes 0.
    grey
        Changes of grey values; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotate: bool = True
    shift_share: float = Field(default=10 / 64, ge=0, lt=0.5)
    crop_share: float = Field(default=0.2, ge=0, lt=1)
    grey: ViewRecipe | None = ViewRecipe()


_SOLVENT: Final = 1e-4
"""Share of the largest grey value below which a voxel shows solvent: interpolation leaves traces of rounding there."""

THESIS: Final = ParticleViewRecipe()
"""All changes of the thesis, in its ranges."""


def random_particle_view(cubes: Tensor, generator: torch.Generator, recipe: ParticleViewRecipe = THESIS) -> Tensor:
    """Return a random view of each cube.

    Parameters
    ----------
    cubes
        ``(b, c, n, n, n)`` float32, axis order (z, y, x), particle about voxel ``n // 2``, solvent 0; not changed. The
        channels of a cube are moved and changed alike.
    generator
        Source of all randomness; on the CPU.
    recipe
        What may be done.

    Returns
    -------
    Tensor
        ``(b, c, n, n, n)`` float32. Solvent is 0 in them too: grey values change only in the particle.
    """
    count, size = len(cubes), cubes.shape[-1]
    if count == 0:
        return cubes.clone()
    unturned = torch.eye(3).expand(count, 3, 3)
    rotations = random_rotations(count, generator) if recipe.rotate else unturned
    shifts = (2 * torch.rand(count, 3, generator=generator) - 1) * (recipe.shift_share * size)
    views = moved(cubes, rotations, shifts)
    views = views * _crop_masks(count, size, recipe.crop_share, generator).to(views)
    if recipe.grey is None:
        return views
    seeds = torch.randint(2**62, (count,), generator=generator).tolist()
    support = views.abs() > _SOLVENT * views.abs().amax((2, 3, 4), keepdim=True)
    changed = [
        random_view(channel, np.random.default_rng(seed), recipe.grey, seen)
        for view, shown, seed in zip(views, support, seeds, strict=True)
        for channel, seen in zip(view, shown, strict=True)
    ]
    return torch.stack(changed).reshape(views.shape)


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Return rotation matrices, ``(count, 3, 3)``, evenly distributed over all rotations.

    A normalised vector of four normal numbers is an evenly distributed quaternion (Muller, Commun. ACM 1959; Shoemake,
    Graphics Gems III, 1992).
    """
    w, x, y, z = F.normalize(torch.randn(count, 4, generator=generator), dim=1).unbind(1)
    entries = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(entries, dim=1).reshape(count, 3, 3)


def moved(cubes: Tensor, rotations: Tensor, shifts_xyz_voxels: Tensor) -> Tensor:
    """Turn cubes about their centre and shift them: what lies at ``p`` from the centre goes to ``M p + s``.

    Parameters
    ----------
    cubes
        ``(b, c, n, n, n)``, axis order (z, y, x); the centre is voxel ``n // 2``.
    rotations
        ``(b, 3, 3)`` matrices M, which act on (x, y, z).
    shifts_xyz_voxels
        ``(b, 3)`` shifts s along x, y, z in voxels.

    Returns
    -------
    Tensor
        ``(b, c, n, n, n)``, interpolated linearly; what comes from outside is 0.
    """
    size = cubes.shape[-1]
    # torch measures from the middle of the cube in half edges, along x, y, z, and asks where each voxel comes from.
    centre = (2 * volume_centre_index(size) + 1) / size - 1
    shifts = shifts_xyz_voxels[:, :, None] * (2 / size)
    inverse = rotations.transpose(1, 2)
    origin = centre - inverse @ (centre + shifts)
    grid = F.affine_grid(torch.cat([inverse, origin], 2).to(cubes), list(cubes.shape), align_corners=False)
    return F.grid_sample(cubes, grid, align_corners=False)


def _crop_masks(count: int, size: int, most: float, generator: torch.Generator) -> Tensor:
    """Return the part of each cube that is kept, ``(count, 1, n, n, n)`` bool."""
    removed = torch.randint(int(most * size) + 1, (count, 3, 1), generator=generator)
    low = torch.floor(torch.rand(count, 3, 1, generator=generator) * (removed + 1)).minimum(removed)
    index = torch.arange(size)
    z, y, x = ((index >= low) & (index < low + size - removed)).unbind(1)
    return (z[:, :, None, None] & y[:, None, :, None] & x[:, None, None, :])[:, None]
