"""Dense network: encoder, feature pyramid, voxel embedding and task heads (thesis section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.networks.config import DENSE_HEADS, DenseConfig
from cryosiam.networks.encoder import Encoder


class FeaturePyramid(nn.Module):
    """Top-down pyramid with 1x1x1 laterals (Lin et al. 2017, without smoothing convolutions)."""

    def __init__(self, planes: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv3d(plane, channels, 1) for plane in planes)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return one map of ``channels`` per level, finest first."""
        top = self.laterals[-1](features[-1])
        levels = [top]
        for lateral, feature in zip(reversed(self.laterals[:-1]), reversed(features[:-1]), strict=True):
            top = lateral(feature) + F.interpolate(top, size=feature.shape[2:], mode="trilinear", align_corners=False)
            levels.append(top)
        return levels[::-1]


def voxel_projector(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return the three-layer 1x1x1 projector whose last norm has no affine part."""
    return nn.Sequential(
        nn.Conv3d(in_channels, in_channels, 1, bias=False),
        nn.BatchNorm3d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv3d(in_channels, in_channels, 1, bias=False),
        nn.BatchNorm3d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv3d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm3d(out_channels, affine=False),
    )


class DenseTrunk(nn.Module):
    """Encoder, feature pyramid and projector: what pretraining learns and every task shares.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.pyramid = FeaturePyramid(config.encoder.planes, config.fpn_channels)
        self.projector = voxel_projector(config.fpn_channels, config.embedding_channels)

    def levels(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the encoder's features and the pyramid's levels, finest first."""
        features = self.encoder(x)
        return features, self.pyramid(features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the voxel embedding ``(b, embedding_channels, z/s, y/s, x/s)``, ``s`` the stem stride."""
        return self.projector(self.levels(x)[1][0])  # type: ignore[no-any-return]


class TaskHead(nn.Module):
    """3x3x3 convolutions from the voxel embedding to a task's output at full resolution.

    With stem stride ``s`` the last convolution gives ``s**3`` values per output channel, one for each voxel of the
    cell (sub-voxel convolution, Shi et al. 2016), so that no interpolation blurs the answer.
    """

    def __init__(self, in_channels: int, hidden: tuple[int, ...], out_channels: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_channels
        for channels in hidden:
            layers += [
                nn.Conv3d(width, channels, 3, padding=1, bias=False),
                nn.BatchNorm3d(channels),
                nn.ReLU(inplace=True),
            ]
            width = channels
        layers.append(nn.Conv3d(width, out_channels * scale**3, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        self.scale = scale
        self.out_channels = out_channels

    def forward(self, embedding: Tensor) -> Tensor:
        """Return ``(b, out_channels, z, y, x)`` at the input's resolution."""
        y = self.layers(embedding)
        return y if self.scale == 1 else depth_to_space(y, self.scale)


def depth_to_space(x: Tensor, scale: int) -> Tensor:
    """Rearrange ``(b, c * scale**3, z, y, x)`` into ``(b, c, z * scale, y * scale, x * scale)``."""
    b, channels, z, y, w = x.shape
    c = channels // scale**3
    x = x.reshape(b, c, scale, scale, scale, z, y, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c, z * scale, y * scale, w * scale)


class DenseNetwork(nn.Module):
    """Trunk and task heads; fully convolutional, so the answer at a voxel depends on its neighbourhood alone.

    Parameters
    ----------
    config
        Shape of the network.
    heads
        Names of the heads it has, of `cryosiam.networks.config.HEAD_NAMES`.

    Attributes
    ----------
    multiple : int
        Sizes and tile starts must be multiples of this many voxels.
    halo : int
        Voxels of context that make a tile's answer exact, a multiple of ``multiple``.
    """

    def __init__(self, config: DenseConfig, heads: Iterable[str] = tuple(DENSE_HEADS)) -> None:
        super().__init__()
        self.config = config
        self.trunk = DenseTrunk(config)
        scale = config.encoder.stem_stride
        self.task_heads = nn.ModuleDict(
            {
                name: TaskHead(config.embedding_channels, config.head_channels, config.output_channels(name), scale)
                for name in heads
            }
        )
        strides = self.trunk.encoder.strides
        self.multiple = strides[-1]
        # Each trilinear step of the pyramid looks one coarse cell to the side; each head convolution one fine cell.
        radius = self.trunk.encoder.radius + sum(strides[1:]) + (len(config.head_channels) + 1) * scale + scale - 1
        self.halo = -(-radius // self.multiple) * self.multiple

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the task heads."""
        return tuple(self.task_heads)

    def forward(self, x: Tensor, heads: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Run the network.

        Parameters
        ----------
        x
            ``(b, 1, z, y, x)`` normalised voxels, protein dark; sizes multiples of ``multiple``.
        heads
            Heads to compute; all of them by default.

        Returns
        -------
        dict
            ``(b, c, z, y, x)`` raw output (logits, voxels or grey values) of each head.
        """
        embedding = self.trunk(x)
        return {name: self.task_heads[name](embedding) for name in (heads or self.heads)}


@torch.no_grad()
def measured_radius(network: DenseNetwork, size: int) -> int:
    """Return how far, in voxels, one input voxel reaches into the outputs, found by perturbing it.

    Parameters
    ----------
    network
        The network, in evaluation mode.
    size
        Edge of the probe volume; must exceed twice the halo.
    """
    probe = torch.zeros(1, 1, size, size, size)
    before = network(probe)
    middle = size // 2
    probe[0, 0, middle, middle, middle] = 10.0
    after = network(probe)
    reach = 0
    for name, value in after.items():
        changed = (value != before[name]).any(dim=1)[0].nonzero()
        if len(changed):
            reach = max(reach, int((changed - middle).abs().max()))
    return reach
