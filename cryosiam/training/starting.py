"""Dense networks that training starts from: fresh ones, a pretrained trunk, or weights of an earlier training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.errors import InputError, WeightsError
from cryosiam.inference.resampling import SAME_GRID_TOLERANCE
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork
from cryosiam.weights import Task, load_dense_parts, read_cards
from cryosiam.weights.card import NORMALISATION
from cryosiam.weights.store import load_pretrained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.networks.config import DenseConfig
    from cryosiam.networks.dense import DenseTrunk
    from cryosiam.training.recipe import Recipe
    from cryosiam.weights import DenseWeights, WeightsCard

_CELLS_FOR_BFLOAT16 = 4


@dataclass(frozen=True)
class Start:
    """Weights that training starts from.

    Parameters
    ----------
    folder
        Name or folder of the weights.
    dense
        Dense networks there.
    trunk
        Trunk that was pretrained, if there is one.
    """

    folder: Path | str
    dense: tuple[DenseWeights, ...]
    trunk: DenseTrunk | None

    def with_heads(self, heads: Sequence[str], reads: str = "tomogram") -> DenseWeights | None:
        """Return the dense network with any of ``heads`` that reads what is wanted, or None."""
        fitting = [part for part in self.dense if part.card.input == reads and set(part.card.heads) & set(heads)]
        return fitting[0] if fitting else None


def open_start(folder: Path | str, recipe: Recipe) -> Start:
    """Load weights to start from.

    Raises
    ------
    WeightsError
        If there are none for dense networks, they are damaged, or they learnt at another voxel size, from other grey
        values or other classes than the recipe gives.
    """
    cards = read_cards(folder)
    usable = [card for card in cards if card.task in (Task.DENSE, Task.PRETRAINING)]
    if not usable:
        raise WeightsError(f"'{folder}' holds no dense or pretrained network to start from; give other weights")
    for card in usable:
        _check(card, folder, recipe)
    pretrained = any(card.task is Task.PRETRAINING for card in usable)
    dense = load_dense_parts(folder) if any(card.task is Task.DENSE for card in usable) else ()
    return Start(folder, dense, load_pretrained(folder).model.trunk if pretrained else None)


def _check(card: WeightsCard, folder: Path | str, recipe: Recipe) -> None:
    if abs(card.voxel_size_angstrom / recipe.voxel_size_angstrom - 1) > SAME_GRID_TOLERANCE:
        raise WeightsError(
            f"the {card.stem} weights in '{folder}' are for voxels of {card.voxel_size_angstrom:g} Å and recipe "
            f"'{recipe.name}' has {recipe.voxel_size_angstrom:g} Å; start from other weights or change the recipe"
        )
    if card.contrast is not Contrast.DARK or card.normalisation != NORMALISATION:
        raise WeightsError(
            f"the {card.stem} weights in '{folder}' read grey values of another contrast or scale than training "
            "gives; weights that were imported cannot be trained on, start from weights that were trained here"
        )
    if "semantic" in card.heads and card.semantic_classes != SEMANTIC_CLASSES:
        raise WeightsError(
            f"the {card.stem} weights in '{folder}' know other classes than {', '.join(SEMANTIC_CLASSES)}; "
            "start from other weights"
        )


def starting_network(
    recipe: Recipe, heads: Sequence[str], start: Start | None, reads: str = "tomogram"
) -> DenseNetwork:
    """Return a network with ``heads``; what ``start`` does not have is drawn with the recipe's seed.

    A network of ``start`` that has one of the heads is taken as it is; else the pretrained trunk; else the trunk of any
    dense network there.

    Parameters
    ----------
    recipe
        Names the network and the seed.
    heads
        Heads to have.
    start
        Weights to start from; None for a fresh network.
    reads
        ``"tomogram"`` or ``"denoised"``: what the network is to read.

    Raises
    ------
    InputError
        If the recipe names no network.
    """
    if start is None:
        if recipe.name not in DENSE_PRESETS:
            raise InputError(
                f"recipe '{recipe.name}' names no network; give it one of the names {', '.join(DENSE_PRESETS)}"
            )
        return _drawn(DENSE_PRESETS[recipe.name], heads, recipe.dense.seed)
    same = start.with_heads(heads, reads)
    trunk = same.network.trunk if same else start.trunk or start.dense[0].network.trunk
    network = _drawn(trunk.config, heads, recipe.dense.seed)
    network.trunk.load_state_dict(trunk.state_dict())
    for name in heads:
        if same is not None and name in same.network.heads:
            network.task_heads[name].load_state_dict(same.network.task_heads[name].state_dict())
    return network


def _drawn(config: DenseConfig, heads: Sequence[str], seed: int) -> DenseNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DenseNetwork(config, heads)


def check_patch(recipe: Recipe, network: DenseNetwork) -> None:
    """Raise `InputError` where the recipe's patch is not a multiple of the network's coarsest cell."""
    if any(edge < 1 or edge % network.multiple for edge in recipe.patch_zyx):
        size = " x ".join(str(edge) for edge in recipe.patch_zyx)
        raise InputError(
            f"patch_zyx of recipe '{recipe.name}' is {size} voxels; the network needs multiples of {network.multiple}"
        )


def bfloat16_is_safe(size_zyx: Sequence[int], multiple: int) -> bool:
    """Tell whether gradients of patches of ``size_zyx`` voxels are right in bfloat16.

    On a coarsest map of 2 cells an edge, bfloat16 gradients of 3x3x3 convolutions come out as noise up to infinity on
    processors (torch 2.13); with 4 cells they are right.

    Parameters
    ----------
    size_zyx
        Patch in voxels.
    multiple
        Voxels in a cell of the coarsest map.
    """
    return min(size_zyx) >= _CELLS_FOR_BFLOAT16 * multiple
