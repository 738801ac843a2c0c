"""Probe: how much of the semantic classes a frozen trunk's voxel embeddings hold (thesis section 4.2).

The trunk learns nothing here. Three 1x1x1 convolutions on its embeddings learn the classes from few labelled specimens;
the same is done with a trunk of random weights. What differs in Dice is what pretraining brought.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import TrainingError
from cryosiam.evaluation.volumes import confusion_table, dice_of
from cryosiam.networks.dense import DenseTrunk, depth_to_space
from cryosiam.networks.losses import mean_dice_loss, semantic_loss
from cryosiam.training.imaged import NOISY, Looks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.networks.config import DenseConfig
    from cryosiam.training.specimens import StoredSpecimen
    from cryosiam.training.task import Batches, PatchSource

CLASSES: Final = len(SEMANTIC_CLASSES)

_TOGETHER: Final = 4


class ProbeBudget(BaseModel):
    """What every probe is given, alike for all trunks that are compared.

    Attributes
    ----------
    patches, patch_zyx
        Labelled patches, and their size in voxels.
    steps, cells, learning_rate
        Of the head: each step sees that many cells of the voxel embedding, of any patches.
    hidden
        Channels of the head's layers before the last; without any, the head is linear.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patches: int = Field(default=64, gt=0)
    patch_zyx: tuple[int, int, int] = (64, 64, 64)
    steps: int = Field(default=600, gt=0)
    cells: int = Field(default=8192, gt=0)
    learning_rate: float = Field(default=0.003, gt=0)
    hidden: tuple[int, ...] = (64, 64)


@dataclass(frozen=True)
class LabelledVolume:
    """A tomogram with the class of every voxel.

    Parameters
    ----------
    noisy
        ``(z, y, x)`` float32, normalised as inference does.
    semantic
        ``(z, y, x)`` class indices.
    """

    noisy: NDArray[np.float32]
    semantic: NDArray[np.integer]


@dataclass(frozen=True)
class SpecimenSplit:
    """Specimens by what they are for.

    Parameters
    ----------
    unlabelled
        For pretraining; the labelled ones are among them.
    labelled
        For the probe to learn from.
    held_out
        For measuring; neither pretraining nor the probe see them.
    """

    unlabelled: tuple[StoredSpecimen, ...]
    labelled: tuple[StoredSpecimen, ...]
    held_out: tuple[StoredSpecimen, ...]


def split_specimens(
    specimens: Sequence[StoredSpecimen], share: float = 0.1, held_out: float = 0.2, seed: int = 1
) -> SpecimenSplit:
    """Split specimens, those of each preset alike, so that no class is missing from a part.

    Parameters
    ----------
    specimens
        All there are, their folders named by preset and seed.
    share
        Labelled specimens, as a share of those not held out; at least one of each preset.
    held_out
        Share to hold out; at least one of each preset.
    seed
        Which specimens go where depends on their names and on it.

    Raises
    ------
    TrainingError
        If a preset has fewer than two specimens.
    """
    groups: dict[str, list[StoredSpecimen]] = {}
    for one in sorted(specimens, key=lambda one: one.folder.name):
        groups.setdefault(one.folder.name.rpartition("-")[0], []).append(one)
    parts: tuple[list[StoredSpecimen], ...] = ([], [], [])
    rng = np.random.default_rng(seed)
    for name, members in groups.items():
        if len(members) < 2:
            raise TrainingError(f"a probe needs two specimens or more of each preset; there is one of '{name}'")
        mixed = [members[int(index)] for index in rng.permutation(len(members))]
        away = max(1, round(held_out * len(mixed)))
        kept = mixed[away:]
        parts[0].extend(kept)
        parts[1].extend(kept[: max(1, round(share * len(kept)))])
        parts[2].extend(mixed[:away])
    return SpecimenSplit(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]))


def imaged_volumes(
    specimens: Sequence[StoredSpecimen],
    seed: int,
    crop_zyx: tuple[int, int, int] | None = None,
    looks: Looks = NOISY,
) -> list[LabelledVolume]:
    """Image every specimen once, without augmentation.

    Parameters
    ----------
    specimens
        What to image.
    seed
        Of microscopes and noise.
    crop_zyx
        Middle to keep, in voxels; everything by default.
    looks
        How often a specimen is shown clear or denoised.
    """
    volumes = []
    for index, specimen in enumerate(specimens):
        rng = np.random.default_rng([seed, index])
        noisy = looks.show(specimen, rng).noisy
        low = [(n - min(n, c)) // 2 for n, c in zip(noisy.shape, crop_zyx or noisy.shape, strict=True)]
        middle = tuple(slice(a, n - a) for a, n in zip(low, noisy.shape, strict=True))
        volumes.append(LabelledVolume(noisy[middle].copy(), np.array(specimen.array("semantic")[middle])))
    return volumes


def random_trunk(config: DenseConfig, seed: int) -> DenseTrunk:
    """Return a trunk with the weights that training would start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DenseTrunk(config)


def probe_semantic(
    trunk: DenseTrunk,
    labelled: PatchSource,
    held_out: Sequence[LabelledVolume],
    budget: ProbeBudget = ProbeBudget(),  # noqa: B008
    seed: int = 1,
) -> dict[str, float]:
    """Train a head on the embeddings of a frozen trunk, and measure it on held-out volumes.

    The statistics of the trunk's norms are taken anew from the labelled patches, for random and pretrained weights
    alike: random weights have none of their own.

    Parameters
    ----------
    trunk
        The trunk; its weights stay as they are.
    labelled
        Where labelled patches come from.
    held_out
        What is measured; edges are cut to multiples of the trunk's coarsest stride.
    budget
        Patches and steps.
    seed
        Of patches, of the head's weights and of its batches.

    Returns
    -------
    dict
        Dice of each class over all voxels of all volumes, NaN for a class that does not occur, and ``all``, the mean
        over those that do.
    """
    batches = labelled.batches(budget.patch_zyx, _TOGETHER, seed)
    count = -(-budget.patches // _TOGETHER)
    _take_statistics(trunk, batches, count)
    head = _fit_head(*_cells(trunk, batches, count), trunk.config.encoder.stem_stride, budget, seed)
    table = np.zeros((CLASSES, CLASSES), np.int64)
    for volume in held_out:
        predicted, truth = _predict(trunk, head, volume)
        table += confusion_table(predicted, truth, CLASSES)
    dice = dice_of(table)
    return {**dict(zip(SEMANTIC_CLASSES, dice.tolist(), strict=True)), "all": float(np.nanmean(dice))}


class ProbeHead(nn.Module):
    """1x1x1 convolutions; of a trunk with stem stride ``s`` they tell the ``s**3`` voxels of a cell apart."""

    def __init__(self, channels: int, hidden: tuple[int, ...], scale: int) -> None:
        super().__init__()
        # Linear layers are such convolutions, and many times faster on cells that lie nowhere in particular.
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(channels, width), nn.ReLU(inplace=True)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Linear(channels, CLASSES * scale**3))
        self.scale = scale

    def forward(self, embedding: Tensor) -> Tensor:
        """Return class logits ``(b, classes, z, y, x)`` at the input's resolution."""
        return depth_to_space(self.layers(embedding.movedim(1, -1)).movedim(-1, 1), self.scale)


@torch.no_grad()
def _take_statistics(trunk: DenseTrunk, batches: Batches, count: int) -> None:
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None takes the plain average over all batches.
        norm.momentum = None
    trunk.train()
    for number in range(count):
        trunk(batches(number)["noisy"])
    trunk.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.inference_mode()
def _cells(trunk: DenseTrunk, batches: Batches, count: int) -> tuple[Tensor, Tensor]:
    """Return embeddings ``(n, d)``, in half precision to save memory, and the classes ``(n, s**3)`` of their voxels."""
    features, labels = [], []
    for number in range(count):
        batch = batches(number)
        features.append(trunk(batch["noisy"]).half().movedim(1, -1).flatten(0, -2))
        labels.append(_voxels_of_cells(batch["semantic"], trunk.config.encoder.stem_stride))
    return torch.cat(features), torch.cat(labels)


def _voxels_of_cells(labels: Tensor, scale: int) -> Tensor:
    """Return the labels ``(n, scale**3)`` of every cell, in the order of `depth_to_space`, of ``(b, z, y, x)``."""
    b, z, y, x = labels.shape
    cells = labels.reshape(b, z // scale, scale, y // scale, scale, x // scale, scale)
    return cells.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, scale**3)


def _fit_head(features: Tensor, labels: Tensor, scale: int, budget: ProbeBudget, seed: int) -> ProbeHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ProbeHead(features.shape[1], budget.hidden, scale)
    optimiser = torch.optim.AdamW(head.parameters(), budget.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, budget.steps)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(budget.steps):
        chosen = torch.randint(len(features), (budget.cells,), generator=draw)
        voxels = head.layers(features[chosen].float()).reshape(-1, CLASSES, scale**3, 1).movedim(0, 3)
        loss = semantic_loss(voxels[None], labels[chosen].T[None, :, None], dice=mean_dice_loss)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return head.eval()


@torch.inference_mode()
def _predict(
    trunk: DenseTrunk, head: ProbeHead, volume: LabelledVolume
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    stride = trunk.encoder.strides[-1]
    box = tuple(slice(0, n // stride * stride) for n in volume.noisy.shape)
    logits = head(trunk(torch.from_numpy(np.ascontiguousarray(volume.noisy[box]))[None, None]))
    return logits[0].argmax(0).numpy().astype(np.uint8), volume.semantic[box]
