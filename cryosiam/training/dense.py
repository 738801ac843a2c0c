"""Training of the dense network on simulated scenes, all heads together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork
from cryosiam.networks.losses import denoising_loss, instance_loss, semantic_loss
from cryosiam.training.loop import train
from cryosiam.training.patches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import Scene


def dense_losses(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the loss of every head and their sum (thesis eq. 8, 12 and 16, and a sample mask)."""
    noisy = batch["noisy"].to(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(noisy)
    losses = {
        "denoise": denoising_loss(out["denoise"].float(), batch["clean"]),
        "semantic": semantic_loss(out["semantic"], batch["semantic"]),
        "instance": instance_loss(out, batch),
        "sample": F.binary_cross_entropy_with_logits(out["sample"].float(), batch["sample"]),
    }
    # Clean grey values span about one unit, so their squared error needs weight to count beside the others.
    losses["total"] = 5 * losses["denoise"] + losses["semantic"] + losses["instance"] + losses["sample"]
    return losses


def train_dense(
    recipe: Recipe,
    scenes: Sequence[Scene],
    folder: Path,
    report: Callable[[int, dict[str, float], float], None],
) -> tuple[DenseNetwork, float]:
    """Train the dense network of ``recipe`` and return it with the hours spent.

    Parameters
    ----------
    recipe
        Network preset, patch and optimiser.
    scenes
        Training scenes.
    folder
        Checkpoints and log; training goes on from what is there.
    report
        Called now and then with step, running losses and seconds.
    """
    torch.manual_seed(recipe.dense.seed)
    network = DenseNetwork(DENSE_PRESETS[recipe.name]).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.train()
    averaged, hours = train(
        network,
        recipe.dense,
        lambda first: batches(
            scenes, recipe.patch_zyx, recipe.dense.batch, first, recipe.dense.steps, recipe.dense.seed
        ),
        dense_losses,
        folder,
        report,
    )
    assert isinstance(averaged, DenseNetwork)
    return averaged, hours
