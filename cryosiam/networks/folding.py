"""Folding of frozen batch norms into the convolutions before them."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from cryosiam.networks.encoder import BasicBlock

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def fold_batch_norms(network: ModuleT) -> ModuleT:
    """Return a copy in evaluation mode with every batch norm folded into its convolution or linear layer.

    The folded network computes the same function with fewer passes over memory.
    """
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        if isinstance(module, BasicBlock):
            module.conv1 = fuse_conv_bn_eval(module.conv1, module.bn1)
            module.conv2 = fuse_conv_bn_eval(module.conv2, module.bn2)
            module.bn1 = module.bn2 = nn.Identity()  # type: ignore[assignment]
        elif isinstance(module, nn.Sequential):
            _fold_sequence(module)
    return folded


def _fold_sequence(sequence: nn.Sequential) -> None:
    for i in range(len(sequence) - 1):
        layer, norm = sequence[i], sequence[i + 1]
        if isinstance(layer, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
            sequence[i], sequence[i + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
        elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            if not norm.affine:
                norm.weight = nn.Parameter(torch.ones_like(layer.weight[:, 0]))
                norm.bias = nn.Parameter(torch.zeros_like(layer.weight[:, 0]))
            sequence[i], sequence[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
