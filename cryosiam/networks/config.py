"""Shapes of the networks, as configuration."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

DENSE_HEADS: Final[dict[str, int]] = {
    "denoise": 1,
    "sample": 1,
    "semantic": 6,
    "foreground": 1,
    "distance": 1,
    "boundary": 1,
}
"""Task heads of the dense network and their number of output channels.

``denoise`` is linear; ``sample``, ``foreground`` and ``boundary`` are logits; ``semantic`` holds a logit per class of
`cryosiam.domain.SEMANTIC_CLASSES`; ``distance`` is linear, in voxels.
"""


class EncoderConfig(BaseModel):
    """Shape of the 3D residual encoder (ResNet-10 style: one basic block per stage).

    Attributes
    ----------
    stem_kernel, stem_stride
        Kernel and stride of the first convolution. Stride 2 cuts the cost about eightfold.
    planes
        Channels of each stage; the first keeps the stem's resolution, each further one halves it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem_kernel: int = Field(default=7, ge=1)
    stem_stride: int = Field(default=1, ge=1, le=2)
    planes: tuple[int, ...] = (64, 128, 256, 512)


class DenseConfig(BaseModel):
    """Shape of the dense network (thesis section 3.1, figure 6, and section 4.1).

    Attributes
    ----------
    encoder
        The encoder.
    fpn_channels
        Channels of the feature pyramid.
    embedding_channels
        Size of the voxel embedding the heads read.
    head_channels
        Widths of the hidden 3x3x3 convolutions of each task head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = EncoderConfig()
    fpn_channels: int = 128
    embedding_channels: int = 64
    head_channels: tuple[int, ...] = (32, 64)


class SubtomogramConfig(BaseModel):
    """Shape of the subtomogram network (SimSiam, thesis section 3.1).

    Attributes
    ----------
    encoder
        The encoder.
    box
        Edge of the input cube in voxels.
    embedding_channels
        Size of the subtomogram embedding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = EncoderConfig()
    box: int = 64
    embedding_channels: int = 1024


DENSE_PRESETS: Final[dict[str, DenseConfig]] = {
    "full": DenseConfig(),
    # Three stages, not four: the fourth doubles the exact halo from 48 to 96 voxels, and with it the work per tile.
    "light": DenseConfig(
        encoder=EncoderConfig(stem_kernel=5, stem_stride=2, planes=(24, 48, 96)),
        fpn_channels=48,
        embedding_channels=64,
        head_channels=(16,),
    ),
}
"""Named dense networks: ``full`` as in the thesis, ``light`` for a laptop without a GPU."""

SUBTOMOGRAM_PRESETS: Final[dict[str, SubtomogramConfig]] = {
    "full": SubtomogramConfig(),
    "light": SubtomogramConfig(
        encoder=EncoderConfig(stem_kernel=5, stem_stride=2, planes=(24, 48, 96, 192)),
        box=32,
        embedding_channels=128,
    ),
}
"""Named subtomogram networks."""
