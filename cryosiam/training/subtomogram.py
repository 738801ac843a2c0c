"""Training of the subtomogram network: SimSiam first, then names (thesis sections 3.1 and 3.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.networks.config import SUBTOMOGRAM_PRESETS
from cryosiam.networks.simsiam import SimSiam
from cryosiam.networks.subtomogram import SubtomogramNetwork
from cryosiam.training.loop import train
from cryosiam.training.pipeline import find_instances
from cryosiam.training.prefetch import prefetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.training.recipe import OptimiserRecipe, Recipe
    from cryosiam.training.scenes import Scene

MIN_OVERLAP = 0.25
"""A predicted instance is named after the particle it overlaps with at least this intersection over union."""


@dataclass(frozen=True)
class Crops:
    """Masked cubes of particles and their names.

    Parameters
    ----------
    values
        ``(n, box, box, box)`` float16.
    names
        ``n`` species names, empty where the instance is no particle.
    """

    values: NDArray[np.float16]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def named(self) -> Crops:
        """The crops that show a particle."""
        keep = np.array([bool(name) for name in self.names])
        return Crops(self.values[keep], tuple(name for name in self.names if name))


def collect_crops(scenes: Sequence[Scene], weights: Path, folder: Path) -> Crops:
    """Find instances in each scene with the dense weights, cut them out and name them by the truth.

    Parameters
    ----------
    scenes
        Simulated scenes.
    weights
        Folder of the dense weights.
    folder
        Where crops of each scene are kept; those already there are not made again.
    """
    from cryosiam.evaluation.volumes import instance_overlap
    from cryosiam.identification.crops import cut_crops
    from cryosiam.weights import load_dense

    folder.mkdir(parents=True, exist_ok=True)
    dense = None
    box = SUBTOMOGRAM_PRESETS["light"].box
    values: list[NDArray[np.float16]] = []
    names: list[str] = []
    for scene in scenes:
        path = folder / f"{scene.folder.name}.npz"
        if not path.exists():
            dense = dense or load_dense(weights)
            with find_instances(scene, dense) as found:
                overlap = instance_overlap(found.labels, scene.array("instances"))
                truth = _best_partner(overlap.predicted, overlap.truth, overlap.iou)
                species = dict(zip(scene.picks().instance_ids.tolist(), scene.picks().class_names, strict=True))
                table = found.table
                crops = cut_crops(found.products.volume("denoised"), found.labels, table.centroids_zyx, table.ids, box)
                np.savez(
                    path,
                    values=crops[:, 0].numpy().astype(np.float16),
                    names=np.array([species.get(truth.get(int(i), 0), "") for i in table.ids], dtype=str),
                )
        stored = np.load(path)
        values.append(stored["values"])
        names.extend(str(name) for name in stored["names"])
    return Crops(np.concatenate(values), tuple(names))


def _best_partner(predicted: NDArray[Any], truth: NDArray[Any], iou: NDArray[np.float64]) -> dict[int, int]:
    good = np.flatnonzero(iou >= MIN_OVERLAP)
    order = good[np.argsort(iou[good])]
    return {int(predicted[i]): int(truth[i]) for i in order}


def turn_and_shift(cubes: Tensor, generator: torch.Generator, max_shift: float = 3.0) -> Tensor:
    """Rotate each cube at random, uniformly over all rotations, and shift it (thesis section 3.2.1).

    Parameters
    ----------
    cubes
        ``(b, 1, n, n, n)``.
    generator
        Source of randomness.
    max_shift
        Largest shift along each axis in voxels.
    """
    quaternion = F.normalize(torch.randn(len(cubes), 4, generator=generator), dim=1)
    w, x, y, z = quaternion.unbind(1)
    rotation = torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1),
            torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1),
            torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1),
        ],
        1,
    )
    shift = (2 * torch.rand(len(cubes), 3, 1, generator=generator) - 1) * (2 * max_shift / cubes.shape[-1])
    grid = F.affine_grid(torch.cat([rotation, shift], 2), list(cubes.shape), align_corners=False)
    return F.grid_sample(cubes, grid, align_corners=False)


def augment(cubes: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random view of each cube: turned, shifted, scaled in grey value, noised and partly masked."""
    view = turn_and_shift(cubes, generator)
    view = view * (0.8 + 0.4 * torch.rand(len(view), 1, 1, 1, 1, generator=generator))
    view = view + 0.1 * torch.rand(len(view), 1, 1, 1, 1, generator=generator) * torch.randn(
        view.shape, generator=generator
    )
    share = 0.3 * torch.rand(len(view), 1, 1, 1, 1, generator=generator)
    return view * (torch.rand(view.shape, generator=generator) >= share)


class NamingModel(nn.Module):
    """Subtomogram network with a cosine layer over the names, for training only."""

    def __init__(self, network: SubtomogramNetwork, classes: int) -> None:
        super().__init__()
        self.network = network
        self.prototypes = nn.Parameter(torch.randn(classes, network.config.embedding_channels) * 0.1)

    def forward(self, cubes: Tensor) -> Tensor:
        """Return ``(b, classes)`` logits: ten times the cosine to each prototype."""
        return torch.mm(10.0 * self.network(cubes), F.normalize(self.prototypes, dim=1).T)


def train_subtomogram(
    recipe: Recipe,
    crops: Crops,
    folder: Path,
    report: Callable[[int], Callable[[int, dict[str, float], float], None]],
) -> tuple[SubtomogramNetwork, float]:
    """Pretrain with SimSiam on all crops, then learn the names of those that have one.

    Returns
    -------
    SubtomogramNetwork
        The network, its weights averaged.
    float
        Hours spent.
    """
    torch.manual_seed(recipe.pretraining.seed)
    named = crops.named
    classes = sorted(set(named.names))
    siamese = SimSiam(SUBTOMOGRAM_PRESETS[recipe.name]).train()
    siamese.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    # float32: bfloat16 gradients of this small network were not finite now and then on a CPU.
    def view_loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"total": model(_channels_last(batch["view1"]), _channels_last(batch["view2"]))}

    pretrained, hours1 = train(
        siamese,
        recipe.pretraining,
        lambda first: _view_batches(crops, recipe.pretraining, first),
        view_loss,
        folder / "pretraining",
        report(recipe.pretraining.steps),
    )
    assert isinstance(pretrained, SimSiam)
    model = NamingModel(pretrained.network.train(), len(classes))

    def name_loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits = model(_channels_last(batch["view"]))
        return {"total": F.cross_entropy(logits, batch["label"], label_smoothing=0.05)}

    averaged, hours2 = train(
        model,
        recipe.subtomogram,
        lambda first: _named_batches(named, classes, recipe.subtomogram, first),
        name_loss,
        folder / "names",
        report(recipe.subtomogram.steps),
    )
    assert isinstance(averaged, NamingModel)
    return averaged.network, hours1 + hours2


def _channels_last(cubes: Tensor) -> Tensor:
    return cubes.contiguous(memory_format=torch.channels_last_3d)


def _draw(crops: Crops, index: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(crops.values[index].astype(np.float32))[:, None]


def _view_batches(crops: Crops, recipe: OptimiserRecipe, first: int) -> Iterator[dict[str, Tensor]]:
    def make(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        cubes = _draw(crops, rng.integers(len(crops), size=recipe.batch))
        return {"view1": augment(cubes, generator), "view2": augment(cubes, generator)}

    return prefetched(make, first, recipe.steps)


def _named_batches(
    crops: Crops, classes: Sequence[str], recipe: OptimiserRecipe, first: int
) -> Iterator[dict[str, Tensor]]:
    label = np.array([classes.index(name) for name in crops.names])
    # Rare species are drawn as often as common ones.
    members = [np.flatnonzero(label == k) for k in range(len(classes))]

    def make(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed, 1, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        drawn = rng.integers(len(classes), size=recipe.batch)
        index = np.array([rng.choice(members[k]) for k in drawn])
        return {"view": augment(_draw(crops, index), generator), "label": torch.from_numpy(drawn)}

    return prefetched(make, first, recipe.steps)
