"""Self-supervised models: the predictors around the networks, used in pretraining only (thesis eq. 1 to 7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cryosiam.networks.config import DenseConfig, SubtomogramConfig
from cryosiam.networks.dense import DenseTrunk, voxel_projector
from cryosiam.networks.subtomogram import SubtomogramNetwork, vector_predictor, vector_projector


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean negative cosine similarity along axis 1, the target held fixed (eq. 1 and 3)."""
    # In bfloat16 the gradient of the norm overflows.
    return -torch.cosine_similarity(prediction.float(), target.detach().float(), dim=1).mean()


def symmetric_loss(p1: Tensor, z1: Tensor, p2: Tensor, z2: Tensor) -> Tensor:
    """Return the symmetrised loss with stopped gradients (eq. 2, 4 and 5).

    Equation 5 as printed stops the gradient at the predictions ``L``, so that nothing would teach the predictor; it is
    read as equations 2 and 4 are, with the gradient stopped at the projections.
    """
    return 0.5 * negative_cosine(p1, z2) + 0.5 * negative_cosine(p2, z1)


def voxel_predictor(channels: int) -> nn.Sequential:
    """Return the bottleneck predictor of quarter width for voxel embeddings."""
    return nn.Sequential(
        nn.Conv3d(channels, channels // 4, 1, bias=False),
        nn.BatchNorm3d(channels // 4),
        nn.ReLU(inplace=True),
        nn.Conv3d(channels // 4, channels, 1),
    )


class SimSiam(nn.Module):
    """Subtomogram network with its predictor.

    Parameters
    ----------
    config
        Shape of the subtomogram network.
    """

    def __init__(self, config: SubtomogramConfig) -> None:
        super().__init__()
        self.network = SubtomogramNetwork(config)
        self.predictor = vector_predictor(config.embedding_channels)

    def forward(self, view1: Tensor, view2: Tensor) -> Tensor:
        """Return the loss of two views ``(b, input_channels, box, box, box)`` of the same particles (eq. 2)."""
        z1, z2 = self.network.project(view1), self.network.project(view2)
        return symmetric_loss(self.predictor(z1), z1, self.predictor(z2), z2)


class DenseSimSiam(nn.Module):
    """Trunk with global, dense and level predictors.

    Parameters
    ----------
    config
        Shape of the dense network.
    global_channels
        Size of the global embedding (thesis: 256).
    levels
        Pyramid levels with a loss of their own. Level ``n`` pools the finest map, which the dense loss reads, by
        ``2**n``: level 1 is L2 of the thesis' table 5, level 2 its L4, level 3 its L8. The thesis settles on L2 alone
        (section 4.1, "only the first-level embeddings").

    Raises
    ------
    ValueError
        If the network has no such level.
    """

    def __init__(self, config: DenseConfig, global_channels: int = 256, levels: Sequence[int] = (1,)) -> None:
        super().__init__()
        coarsest = len(config.encoder.planes) - 1
        if not all(1 <= level <= coarsest for level in levels):
            raise ValueError(f"levels are from 1 to {coarsest}, not {', '.join(map(str, levels))}")
        self.trunk = DenseTrunk(config)
        self.global_projector = vector_projector(config.encoder.planes[-1], global_channels)
        self.global_predictor = vector_predictor(global_channels)
        self.dense_predictor = voxel_predictor(config.embedding_channels)
        self.level_indices = tuple(levels)
        self.level_projectors = nn.ModuleList(
            voxel_projector(config.fpn_channels, config.embedding_channels) for _ in levels
        )
        self.level_predictors = nn.ModuleList(voxel_predictor(config.embedding_channels) for _ in levels)

    def represent(self, view: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return the global, dense and level representations of a view ``(b, 1, z, y, x)``."""
        features, levels = self.trunk.levels(view)
        pooled = self.global_projector(features[-1].mean(dim=(2, 3, 4)))
        dense = self.trunk.projector(levels[0])
        coarse = [p(levels[i]) for i, p in zip(self.level_indices, self.level_projectors, strict=True)]
        return pooled, dense, coarse

    def forward(self, view1: Tensor, view2: Tensor, overlap1: Overlap, overlap2: Overlap) -> dict[str, Tensor]:
        """Return the global, dense and level losses and their sum (eq. 7).

        The global loss compares whole views, the others the region that both show.

        Parameters
        ----------
        view1, view2
            ``(b, 1, z, y, x)`` two overlapping, independently transformed crops.
        overlap1, overlap2
            Start and stop (z, y, x) in voxels of the common region in each view, multiples of the coarsest stride.

        Raises
        ------
        ValueError
            If the regions differ in size, or do not start and stop at multiples of the coarsest stride.
        """
        strides = self.trunk.encoder.strides
        _check_overlaps(overlap1, overlap2, strides[-1])
        g1, d1, l1 = self.represent(view1)
        g2, d2, l2 = self.represent(view2)

        def shared(predictor: nn.Module, a: Tensor, b: Tensor, stride: int) -> Tensor:
            za, zb = crop(a, overlap1, stride), crop(b, overlap2, stride)
            return symmetric_loss(predictor(za), za, predictor(zb), zb)

        level = torch.zeros((), device=view1.device)
        for index, predictor, a, b in zip(self.level_indices, self.level_predictors, l1, l2, strict=True):
            level = level + shared(predictor, a, b, strides[index])
        losses = {
            "global": symmetric_loss(self.global_predictor(g1), g1, self.global_predictor(g2), g2),
            "dense": shared(self.dense_predictor, d1, d2, strides[0]),
            "level": level,
        }
        losses["total"] = losses["global"] + losses["dense"] + losses["level"]
        return losses


Overlap = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Start and stop of a region in voxels (z, y, x)."""


def _check_overlaps(overlap1: Overlap, overlap2: Overlap, stride: int) -> None:
    if any(edge % stride for overlap in (overlap1, overlap2) for corner in overlap for edge in corner):
        raise ValueError(f"overlaps start and stop at multiples of {stride} voxels, not {overlap1} and {overlap2}")
    extents = [tuple(b - a for a, b in zip(*overlap, strict=True)) for overlap in (overlap1, overlap2)]
    if extents[0] != extents[1] or min(extents[0]) <= 0:
        raise ValueError(f"overlaps are of one size and not empty, not {overlap1} and {overlap2}")


def crop(x: Tensor, region: Overlap, stride: int) -> Tensor:
    """Cut ``region`` (in voxels) out of a feature map whose cells are ``stride`` voxels wide."""
    start, stop = region
    window = tuple(slice(a // stride, b // stride) for a, b in zip(start, stop, strict=True))
    return x[(slice(None), slice(None), *window)]
