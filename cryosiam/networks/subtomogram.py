"""Subtomogram network: one embedding per particle (SimSiam, thesis section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.networks.config import SubtomogramConfig
from cryosiam.networks.encoder import Encoder


def vector_projector(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return the three-layer projector whose last norm has no affine part (Chen and He 2021)."""
    return nn.Sequential(
        nn.Linear(in_channels, in_channels, bias=False),
        nn.BatchNorm1d(in_channels),
        nn.ReLU(inplace=True),
        nn.Linear(in_channels, in_channels, bias=False),
        nn.BatchNorm1d(in_channels),
        nn.ReLU(inplace=True),
        nn.Linear(in_channels, out_channels, bias=False),
        nn.BatchNorm1d(out_channels, affine=False),
    )


def vector_predictor(channels: int, hidden: int | None = None) -> nn.Sequential:
    """Return the bottleneck predictor for vectors, of quarter width unless ``hidden`` gives another."""
    hidden = channels // 4 if hidden is None else hidden
    return nn.Sequential(
        nn.Linear(channels, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, channels),
    )


class SubtomogramNetwork(nn.Module):
    """Encoder, global average and projector; with a predictor where the configuration asks for one.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: SubtomogramConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.projector = vector_projector(config.encoder.planes[-1], config.embedding_channels)
        if config.predictor_channels is not None:
            self.predictor = vector_predictor(config.embedding_channels, config.predictor_channels)

    def project(self, x: Tensor) -> Tensor:
        """Return the projected representation ``(b, embedding_channels)``, not normalised."""
        return self.projector(self.encoder(x)[-1].mean(dim=(2, 3, 4)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Return unit embeddings ``(b, embedding_channels)`` of cubes ``(b, input_channels, box, box, box)``."""
        z = self.project(x)
        return F.normalize(self.predictor(z) if self.config.embedding == "predictor" else z, dim=1)
