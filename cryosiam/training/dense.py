"""Training of the dense network on simulated scenes, all heads together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork
from cryosiam.networks.losses import denoising_loss, instance_loss, mean_dice_loss, semantic_loss
from cryosiam.training.imaged import ImagedBatches
from cryosiam.training.loop import train
from cryosiam.training.prefetch import prefetched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cryosiam.training.recipe import Recipe
    from cryosiam.training.specimens import StoredSpecimen


CLASS_WEIGHTS = torch.tensor([1.0, 1.0, 1.0, 2.0, 3.0, 3.0])
"""Weights of the classes' cross-entropy: thin structures have few voxels."""


def dense_losses(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the loss of every head and their sum (thesis eq. 8, 12 and 16, and a sample mask)."""
    noisy = batch["noisy"].to(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(noisy)
    losses = {
        "denoise": denoising_loss(out["denoise"].float(), batch["clean"]),
        "semantic": semantic_loss(out["semantic"], batch["semantic"], CLASS_WEIGHTS, mean_dice_loss),
        "instance": instance_loss(out, batch),
        "sample": F.binary_cross_entropy_with_logits(out["sample"].float(), batch["sample"]),
    }
    # Clean grey values span about one unit, so their squared error needs weight to count beside the others.
    losses["total"] = 5 * losses["denoise"] + losses["semantic"] + losses["instance"] + losses["sample"]
    return losses


def train_dense(
    recipe: Recipe,
    specimens: Sequence[StoredSpecimen],
    chances: NDArray[np.float64],
    folder: Path,
    report: Callable[[int, dict[str, float], float], None],
) -> tuple[DenseNetwork, float]:
    """Train the dense network of ``recipe`` and return it with the hours spent.

    Parameters
    ----------
    recipe
        Network preset, patch and optimiser.
    specimens, chances
        What to learn from, and how often each is drawn.
    folder
        Checkpoints and log; training goes on from what is there.
    report
        Called now and then with step, running losses and seconds.
    """
    torch.manual_seed(recipe.dense.seed)
    batches = ImagedBatches(specimens, chances, recipe.patch_zyx, recipe.dense.batch, recipe.dense.seed, recipe.clear)
    network = DenseNetwork(DENSE_PRESETS[recipe.name]).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.train()
    averaged, hours = train(
        network,
        recipe.dense,
        lambda first: prefetched(batches, first, recipe.dense.steps),
        dense_losses,
        folder,
        report,
    )
    assert isinstance(averaged, DenseNetwork)
    return averaged, hours
