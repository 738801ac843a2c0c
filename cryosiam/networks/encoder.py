"""3D residual encoder with one basic block per stage (ResNet-10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cryosiam.networks.config import EncoderConfig


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut, with batch norm so that inference can fold it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm3d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, in_channels, z, y, x)`` to ``(b, out_channels, z/stride, y/stride, x/stride)``."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """Residual encoder returning the features of every stage.

    Parameters
    ----------
    config
        Shape of the encoder.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.planes[0]
        kernel = config.stem_kernel
        self.stem = nn.Sequential(
            nn.Conv3d(config.input_channels, width, kernel, stride=config.stem_stride, padding=kernel // 2, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        inputs = (width, *config.planes[:-1])
        self.stages = nn.ModuleList(
            BasicBlock(i, o, stride=1 if n == 0 else 2)
            for n, (i, o) in enumerate(zip(inputs, config.planes, strict=True))
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels per feature cell at each stage."""
        return tuple(self.config.stem_stride * 2**n for n in range(len(self.config.planes)))

    @property
    def radius(self) -> int:
        """Voxels that one cell of the last stage sees to either side of its position."""
        radius = self.config.stem_kernel // 2
        previous = self.config.stem_stride
        for stride in self.strides:
            # The first convolution of a block still runs on the finer grid, the second on its own.
            radius += previous + stride
            previous = stride
        return radius

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of each stage, finest first, for ``x`` of shape ``(b, input_channels, z, y, x)``."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
