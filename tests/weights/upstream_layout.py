"""Checkpoints of the authors' layout with random weights, and the forward pass that the layout describes.

The authors' code is not here and not needed: the layout of the published files says which layers there are. Everything
is written with `torch.nn.functional` on the checkpoint's own tensors, so that it shares nothing with the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


@dataclass
class Layout:
    """Widths of the authors' networks; small ones for tests unless said otherwise."""

    planes: tuple[int, ...] = (6, 8, 10, 12)
    fpn: int = 9
    embedding: int = 8
    global_channels: int = 12
    head: tuple[int, int] = (5, 7)
    vector: int = 14
    hidden: int = 3
    levels: tuple[int, ...] = (2, 4, 8)
    stem: int = 7
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(7))

    @classmethod
    def published(cls) -> Layout:
        return cls((64, 128, 256, 512), 128, 64, 256, (32, 64), 1024, 512)

    def weight(self, state: State, name: str, *shape: int, bias: bool) -> None:
        spread = math.sqrt(2.0 / math.prod(shape[1:]))
        state[f"{name}.weight"] = torch.randn(shape, generator=self.generator) * spread
        if bias:
            state[f"{name}.bias"] = torch.randn(shape[0], generator=self.generator) * 0.3

    def norm(self, state: State, name: str, channels: int, *, affine: bool = True) -> None:
        if affine:
            state[f"{name}.weight"] = torch.rand(channels, generator=self.generator) + 0.5
            state[f"{name}.bias"] = torch.randn(channels, generator=self.generator) * 0.2
        state[f"{name}.running_mean"] = torch.randn(channels, generator=self.generator) * 0.2
        state[f"{name}.running_var"] = torch.rand(channels, generator=self.generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(1000)

    def encoder(self, state: State, name: str) -> None:
        self.weight(state, f"{name}.conv1", self.planes[0], 1, *[self.stem] * 3, bias=False)
        self.norm(state, f"{name}.bn1", self.planes[0])
        before = self.planes[0]
        for number, width in enumerate(self.planes, start=1):
            block = f"{name}.layer{number}.0"
            self.weight(state, f"{block}.conv1", width, before, 3, 3, 3, bias=False)
            self.norm(state, f"{block}.bn1", width)
            self.weight(state, f"{block}.conv2", width, width, 3, 3, 3, bias=False)
            self.norm(state, f"{block}.bn2", width)
            if number > 1:
                self.weight(state, f"{block}.downsample.0", width, before, 1, 1, 1, bias=True)
                self.norm(state, f"{block}.downsample.1", width)
            before = width

    def projector(self, state: State, name: str, wide: int, out: int, kernel: tuple[int, ...], *, bias: bool) -> None:
        for number, width in ((0, wide), (3, wide), (6, out)):
            self.weight(state, f"{name}.{number}", width, wide, *kernel, bias=bias and number == 6)
            self.norm(state, f"{name}.{number + 1}", width, affine=number < 6)

    def predictor(self, state: State, name: str, wide: int, hidden: int, kernel: tuple[int, ...]) -> None:
        self.weight(state, f"{name}.0", hidden, wide, *kernel, bias=False)
        self.norm(state, f"{name}.1", hidden)
        self.weight(state, f"{name}.3", wide, hidden, *kernel, bias=True)

    def dense(self, prefix: str) -> State:
        """Return encoder, pyramid, projectors and predictors, as in pretraining."""
        state: State = {}
        voxel = (1, 1, 1)
        self.encoder(state, f"{prefix}.encoder")
        for number, width in enumerate(reversed(self.planes), start=1):
            self.weight(state, f"{prefix}.decoder.layer{number}", self.fpn, width, *voxel, bias=True)
        self.projector(state, f"{prefix}.projector", self.fpn, self.embedding, voxel, bias=False)
        self.predictor(state, f"{prefix}.predictor", self.embedding, self.embedding // 4, voxel)
        top, out = self.planes[-1], self.global_channels
        self.projector(state, f"{prefix}.global_projector", top, out, (), bias=True)
        self.predictor(state, f"{prefix}.global_predictor", out, out // 4, ())
        for kind in ("weight", "bias"):
            state[f"{prefix}.encoder.fc.{kind}"] = state[f"{prefix}.global_projector.6.{kind}"]
        for level in self.levels:
            self.projector(state, f"{prefix}.level_projector_{level}", self.fpn, self.embedding, voxel, bias=False)
            self.predictor(state, f"{prefix}.level_predictor_{level}", self.embedding, self.embedding // 4, voxel)
        return state

    def task(self, heads: dict[str, int], *, bias: bool = True) -> State:
        """Return a backbone with heads; ``bias`` is that of convolutions before a norm, which is not known."""
        state = self.dense("_model_backbone")
        first, second = self.head
        for name, out in heads.items():
            here = f"_model.{name}"
            self.weight(state, f"{here}.0", first, self.embedding, 3, 3, 3, bias=bias)
            self.norm(state, f"{here}.1", first)
            self.weight(state, f"{here}.3", second, first, 3, 3, 3, bias=bias)
            self.norm(state, f"{here}.4", second)
            self.weight(state, f"{here}.6", out, second, 3, 3, 3, bias=True)
        return state

    def subtomogram(self) -> State:
        state: State = {}
        self.encoder(state, "_model.encoder")
        self.projector(state, "_model.encoder.fc", self.planes[-1], self.vector, (), bias=True)
        self.predictor(state, "_model.predictor", self.vector, self.hidden, ())
        return state


HEADS = {
    "denoise": {"cnn_head": 1},
    "lamella": {"semantic_head": 1, "distance_head": 1},
    "semantic": {"semantic_head": 6, "distance_head": 6},
    "instance": {"foreground_head": 1, "distance_head": 1, "boundary_head": 1},
}


def state_of(task: str, layout: Layout | None = None) -> State:
    layout = layout or Layout()
    if task == "pretraining":
        return layout.dense("_model")
    return layout.task(HEADS[task]) if task in HEADS else layout.subtomogram()


def write_checkpoint(path: Path, state: State, **more: Any) -> Path:
    """Write what Lightning writes around the tensors; Adam's state makes it three times as large."""
    content = {
        "epoch": 599,
        "global_step": 12345,
        "pytorch-lightning_version": "2.1.3",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(100_000)}}, "param_groups": [{"lr": 1e-3}]}],
        "lr_schedulers": [{"last_epoch": 10}],
        "hparams_name": "config",
        "hyper_parameters": {
            "config": {"parameters": {"data": {"patch_size": [16, 16, 16]}, "network": {"dense_dim": 64}}}
        },
        **more,
    }
    torch.save(content, path)
    return path


def _conv(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    return F.conv3d(x, weight, bias, **options) if weight.ndim == 5 else F.linear(x, weight, bias)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, variance, state.get(f"{name}.weight"), state.get(f"{name}.bias"), eps=1e-5)


def project(state: State, name: str, x: Tensor) -> Tensor:
    for number in (0, 3, 6):
        x = _norm(state, f"{name}.{number + 1}", _conv(state, f"{name}.{number}", x))
        x = F.relu(x) if number < 6 else x
    return x


def predict(state: State, name: str, x: Tensor) -> Tensor:
    return _conv(state, f"{name}.3", F.relu(_norm(state, f"{name}.1", _conv(state, f"{name}.0", x))))


def encode(state: State, name: str, x: Tensor) -> list[Tensor]:
    x = F.relu(_norm(state, f"{name}.bn1", _conv(state, f"{name}.conv1", x, padding=3)))
    features = []
    for number in (1, 2, 3, 4):
        block, stride = f"{name}.layer{number}.0", 1 if number == 1 else 2
        y = F.relu(_norm(state, f"{block}.bn1", _conv(state, f"{block}.conv1", x, stride=stride, padding=1)))
        y = _norm(state, f"{block}.bn2", _conv(state, f"{block}.conv2", y, padding=1))
        if number > 1:
            x = _norm(state, f"{block}.downsample.1", _conv(state, f"{block}.downsample.0", x, stride=stride))
        x = F.relu(x + y)
        features.append(x)
    return features


def pyramid(state: State, name: str, features: list[Tensor]) -> dict[int, Tensor]:
    """Return the pyramid's levels by their stride."""
    levels: dict[int, Tensor] = {}
    top: Tensor | None = None
    for number, (stride, feature) in enumerate(zip((8, 4, 2, 1), reversed(features), strict=True), start=1):
        lateral = _conv(state, f"{name}.layer{number}", feature)
        if top is not None:
            lateral = lateral + F.interpolate(top, scale_factor=2, mode="trilinear", align_corners=False)
        top = levels[stride] = lateral
    return levels


def dense_embedding(state: State, prefix: str, x: Tensor) -> Tensor:
    """Return the voxel embedding ``z`` that heads read."""
    levels = pyramid(state, f"{prefix}.decoder", encode(state, f"{prefix}.encoder", x))
    return project(state, f"{prefix}.projector", levels[1])


def head(state: State, name: str, z: Tensor) -> Tensor:
    for number in (0, 3):
        z = F.relu(_norm(state, f"{name}.{number + 1}", _conv(state, f"{name}.{number}", z, padding=1)))
    return _conv(state, f"{name}.6", z, padding=1)


def task_output(state: State, name: str, x: Tensor) -> Tensor:
    return head(state, f"_model.{name}", dense_embedding(state, "_model_backbone", x))


def subtomogram_outputs(state: State, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the projector's output ``z`` and the predictor's ``p``, neither normalised."""
    pooled = encode(state, "_model.encoder", x)[-1].mean(dim=(2, 3, 4))
    z = project(state, "_model.encoder.fc", pooled)
    return z, predict(state, "_model.predictor", z)
