"""Figures of the heads on held-out scenes while they learn: quick, on the middle of each scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.networks.losses import join_background
from cryosiam.training.head_losses import HIDDEN, HeadTask, known_name
from cryosiam.training.scene_patches import KNOWN, as_patch, cut_scene, has_known, hidden_classes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cryosiam.training.scenes import Scene
    from cryosiam.training.task import Batch

MOST_SCENES: Final = 6


class HeldOutFigures:
    """Measures a network on the middle of each of a few held-out scenes, as labelled, never augmented.

    Parameters
    ----------
    scenes
        The scenes; at most :data:`MOST_SCENES` are used.
    tasks
        What to measure.
    size_zyx
        Size of the parts in voxels, which the network can read.
    limits
        ``(n, 2)`` of each scene, where the network reads what a denoiser makes of it.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        tasks: Sequence[HeadTask],
        size_zyx: tuple[int, int, int],
        limits: np.ndarray | None = None,
    ) -> None:
        self._scenes, self._tasks, self._size, self._limits = scenes[:MOST_SCENES], tuple(tasks), size_zyx, limits

    @torch.inference_mode()
    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return the figures, all from 0 to 1, and as ``score`` the mean over the tasks.

        Denoising is measured by the correlation with the clean volume, segmentation by the mean Dice of the classes
        there are, the sample and the particles' foreground by Dice. A task without labels has no figure.
        """
        network.eval()
        device = next(network.parameters()).device
        totals: dict[HeadTask, Tensor] = {}
        for number in range(len(self._scenes)):
            batch = {name: value.to(device) for name, value in self._batch(number).items()}
            predicted = network(batch["noisy"], batch["limits"]) if "limits" in batch else network(batch["noisy"])
            for task in self._tasks:
                counts = _COUNTS[task](predicted, batch).double().cpu()
                totals[task] = totals[task] + counts if task in totals else counts
        figures: dict[str, float] = {}
        scores: list[float] = []
        for task in self._tasks:
            found = _FIGURES[task](totals[task].numpy()) if task in totals else {}
            figures |= found
            scores += [found[_MAIN[task]]] if found else []
        return {"score": float(np.mean(scores)) if scores else 0.0, **figures}

    def _batch(self, number: int) -> Batch:
        scene = self._scenes[number]
        patch = as_patch(cut_scene(scene, _middle(scene, self._size), self._size), hidden_classes(scene))
        batch = {name: value[None] for name, value in patch.items()}
        if self._limits is not None:
            batch["limits"] = torch.from_numpy(self._limits[number : number + 1])
        return batch


def _middle(scene: Scene, size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the first voxel of the part in the middle of what is labelled."""
    centre = np.array(scene.shape) // 2
    if has_known(scene):
        voxels = np.argwhere(np.asarray(scene.array(KNOWN)[::4, ::4, ::4]) > 0) * 4
        centre = np.median(voxels, axis=0).astype(np.int64) if len(voxels) else centre
    z, y, x = (
        int(np.clip(middle - edge // 2, 0, max(0, n - edge)))
        for middle, edge, n in zip(centre, size, scene.shape, strict=True)
    )
    return z, y, x


def _known(batch: Batch, task: HeadTask) -> Tensor:
    known = batch.get(known_name(task))
    return torch.ones_like(batch["noisy"], dtype=torch.bool) if known is None else known


def _denoise_counts(predicted: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Return number, sums, squares and products of predicted and clean values."""
    known = _known(batch, HeadTask.DENOISE)
    a, b = predicted["denoise"][known].double(), batch["clean"][known].double()
    return torch.stack([torch.ones_like(a).sum(), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum()])


def _denoise_figures(totals: np.ndarray) -> dict[str, float]:
    n, a, b, aa, bb, ab = totals
    spread = (n * aa - a * a) * (n * bb - b * b)
    return {"denoise_correlation": float((n * ab - a * b) / np.sqrt(spread))} if n and spread > 0 else {}


def _binary_counts(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return overlap, predicted and true volume, and the number of known voxels."""
    found, there = (logits > 0) & known, (truth > 0.5) & known
    return torch.stack([(found & there).sum(), found.sum(), there.sum(), known.sum()])


def _binary_figures(totals: np.ndarray, name: str) -> dict[str, float]:
    overlap, found, there, known = totals
    if not known or not there + found:
        return {}
    return {name: float(2 * overlap / (found + there))}


def _semantic_counts(predicted: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Return the table of true and predicted classes."""
    known = _known(batch, HeadTask.SEMANTIC)[:, 0]
    found = join_background(predicted["semantic"], batch[HIDDEN]).argmax(dim=1)[known]
    count = len(SEMANTIC_CLASSES)
    return torch.bincount(batch["semantic"][known] * count + found, minlength=count**2).reshape(count, count)


def _semantic_figures(totals: np.ndarray) -> dict[str, float]:
    volume = totals.sum(axis=1) + totals.sum(axis=0)
    dice = {
        f"dice_{name}": float(2 * totals[index, index] / volume[index])
        for index, name in enumerate(SEMANTIC_CLASSES)
        if index and totals[index].sum()
    }
    return {**dice, "dice": float(np.mean(list(dice.values())))} if dice else {}


_COUNTS: Final[dict[HeadTask, Callable[[Mapping[str, Tensor], Batch], Tensor]]] = {
    HeadTask.DENOISE: _denoise_counts,
    HeadTask.LAMELLA: lambda predicted, batch: _binary_counts(
        predicted["sample"], batch["sample"], _known(batch, HeadTask.LAMELLA)
    ),
    HeadTask.SEMANTIC: _semantic_counts,
    HeadTask.INSTANCE: lambda predicted, batch: _binary_counts(
        predicted["foreground"], batch["foreground"], _known(batch, HeadTask.INSTANCE)
    ),
}
_FIGURES: Final[dict[HeadTask, Callable[[np.ndarray], dict[str, float]]]] = {
    HeadTask.DENOISE: _denoise_figures,
    HeadTask.LAMELLA: lambda totals: _binary_figures(totals, "dice_sample"),
    HeadTask.SEMANTIC: _semantic_figures,
    HeadTask.INSTANCE: lambda totals: _binary_figures(totals, "dice_foreground"),
}
_MAIN: Final[dict[HeadTask, str]] = {
    HeadTask.DENOISE: "denoise_correlation",
    HeadTask.LAMELLA: "dice_sample",
    HeadTask.SEMANTIC: "dice",
    HeadTask.INSTANCE: "dice_foreground",
}
