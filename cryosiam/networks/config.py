"""Shapes of the networks, as configuration."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

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


CLASS_HEADS: Final = ("semantic", "class_distance")
"""Heads with a channel per semantic class.

``class_distance`` is the authors' second head of semantic networks: the signed distance to the surface of each class,
linear, in voxels. Networks trained here have none.
"""

HEAD_NAMES: Final = (*DENSE_HEADS, "class_distance")
"""Every head a dense network may have."""


class EncoderConfig(BaseModel):
    """Shape of the 3D residual encoder (ResNet-10 style: one basic block per stage).

    Attributes
    ----------
    stem_kernel, stem_stride
        Kernel and stride of the first convolution. Stride 2 cuts the cost about eightfold.
    planes
        Channels of each stage; the first keeps the stem's resolution, each further one halves it.
    input_channels
        Volumes that it is shown together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem_kernel: int = Field(default=7, ge=1)
    stem_stride: int = Field(default=1, ge=1, le=2)
    planes: tuple[int, ...] = (64, 128, 256, 512)
    input_channels: int = Field(default=1, ge=1)


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
    classes
        Semantic classes, the background counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = EncoderConfig()
    fpn_channels: int = 128
    embedding_channels: int = 64
    head_channels: tuple[int, ...] = (32, 64)
    classes: int = Field(default=DENSE_HEADS["semantic"], ge=2)

    def output_channels(self, head: str) -> int:
        """Return how many channels ``head`` gives."""
        return self.classes if head in CLASS_HEADS else DENSE_HEADS[head]


class PretrainingConfig(BaseModel):
    """Shape of the dense network in self-supervised pretraining (thesis section 3.1, equations 1 to 7).

    Attributes
    ----------
    dense
        The dense network; its heads do not take part.
    global_channels
        Size of the embedding of a whole patch.
    levels
        Pyramid levels with a loss of their own, 1 being half the finest resolution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dense: DenseConfig
    global_channels: int = 256
    levels: tuple[int, ...] = (1,)


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
    predictor_channels
        Width of the predictor's bottleneck, where the network keeps its predictor.
    embedding
        Which output is the embedding: the projector's, or the predictor's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = EncoderConfig()
    box: int = 64
    embedding_channels: int = 1024
    predictor_channels: int | None = Field(default=None, ge=1)
    embedding: Literal["projector", "predictor"] = "projector"

    @model_validator(mode="after")
    def _has_what_it_embeds_with(self) -> SubtomogramConfig:
        if self.embedding == "predictor" and self.predictor_channels is None:
            raise ValueError("a network whose predictor gives the embedding needs predictor_channels")
        return self


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
        # Particle and surroundings: on its own, a particle cut out where the instance ends is named far less well.
        encoder=EncoderConfig(stem_kernel=5, stem_stride=2, planes=(24, 48, 96, 192), input_channels=2),
        box=32,
        embedding_channels=128,
    ),
}
"""Named subtomogram networks."""
