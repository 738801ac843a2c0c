"""Learning from a user's own annotations: patches of labelled tomograms, as a source for every stage of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import InputError
from cryosiam.training.augment.augmentation import REAL, AugmentationRecipe, augment_patch
from cryosiam.training.head_losses import HeadTask
from cryosiam.training.labelled_scenes import LabelledScene, store_labelled
from cryosiam.training.scene_patches import as_patch, cut_scene, hidden_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.training.labelled_scenes import LabelledTomogram
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.task import Batch, Batches

RARE: Final = 0.5
"""Share of patches about a voxel of a class drawn evenly of those labelled; the others are about any known voxel."""


@dataclass(frozen=True)
class LabelledSource:
    """Patches of labelled tomograms; see :class:`cryosiam.training.task.PatchSource`.

    Parameters
    ----------
    scenes
        The tomograms.
    voxel_size_angstrom
        Edge of their voxels.
    augmentation
        What is done to patches.
    description
        Where they are from, for the card of the weights.
    """

    scenes: tuple[LabelledScene, ...]
    voxel_size_angstrom: float
    augmentation: AugmentationRecipe = field(default=REAL)
    description: str = "labelled tomograms"

    @cached_property
    def hidden(self) -> NDArray[np.bool_]:
        """Return ``(classes,)`` bool: classes that no tomogram shows, so that nothing can be learnt about them."""
        shown = {name for scene in self.scenes for name in scene.facts["shown"]}
        return np.array([bool(label) and name not in shown for label, name in enumerate(SEMANTIC_CLASSES)])

    @property
    def tasks(self) -> frozenset[HeadTask]:
        """Tasks that any of the tomograms has labels for."""
        return frozenset(HeadTask(name) for scene in self.scenes for name in scene.facts["tasks"])

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        """Return endless batches, with masks of what is known and of classes that nobody annotated."""
        return LabelledBatches(self, size_zyx, batch, seed)


class LabelledBatches:
    """Batches without end; batch ``n`` depends on the seed and on ``n`` alone.

    Parameters
    ----------
    source
        The tomograms and what is done to patches.
    size_zyx
        Patch in voxels. Where a tomogram is smaller, the rest is 0 and unknown.
    batch
        Patches in a batch.
    seed
        Of everything random.
    """

    def __init__(self, source: LabelledSource, size_zyx: tuple[int, int, int], batch: int, seed: int) -> None:
        self._source, self._size, self._batch, self._seed = source, size_zyx, batch, seed
        # Quarter turns need patches that are square.
        turns = source.augmentation.orient and size_zyx[1] == size_zyx[2]
        self._augmentation = source.augmentation.model_copy(update={"orient": turns})

    def __call__(self, number: int) -> Batch:
        """Return one batch; see :func:`cryosiam.training.scene_patches.as_patch` for what is in it."""
        patches = [self._patch(np.random.default_rng([self._seed, 1, number, i])) for i in range(self._batch)]
        return {name: torch.stack([patch[name] for patch in patches]) for name in patches[0]}

    def _patch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        scene = self._source.scenes[int(rng.integers(len(self._source.scenes)))]
        cut = self._augmentation.cut_zyx(self._size)
        arrays = cut_scene(scene, _corner(scene, cut, rng), cut)
        arrays |= {name: arrays[name].astype(np.float32) for name in ("noisy", "clean")}
        augmented = augment_patch(
            arrays,
            rng,
            self._augmentation,
            voxel_size_angstrom=self._source.voxel_size_angstrom,
            size_zyx=self._size,
        )
        return as_patch(augmented, hidden_classes(scene) | self._source.hidden)


def _corner(scene: LabelledScene, size: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Return the first voxel of a patch about a labelled or known voxel; it stays within a tomogram that is larger."""
    places = scene.places if scene.places and rng.random() < RARE else (scene.known_places,)
    voxels = places[int(rng.integers(len(places)))]
    voxel = voxels[int(rng.integers(len(voxels)))]
    z, y, x = (
        int(np.clip(at - rng.integers(0, edge), 0, max(0, n - edge)))
        for at, edge, n in zip(voxel, size, scene.shape, strict=True)
    )
    return z, y, x


def labelled_data(
    folder: Path,
    training: Sequence[LabelledTomogram],
    validation: Sequence[LabelledTomogram],
    recipe: Recipe,
    report: Callable[[str], None],
    description: str = "labelled tomograms",
    wanted: Sequence[str] = (),
) -> tuple[LabelledSource, list[LabelledScene]]:
    """Return the source of labelled tomograms to learn from, and the scenes that are held out.

    Parameters
    ----------
    folder
        Where the tomograms are kept at the recipe's voxel size.
    training, validation
        The tomograms of each split.
    recipe
        States the voxel size.
    report
        Told what is read.
    description
        Where they are from.
    wanted
        Classes that must occur in what is learnt from.

    Raises
    ------
    InputError
        If a split is empty, nothing is labelled, a wanted class has no voxel to learn from, or a tomogram or its labels
        cannot be used.
    """
    for name, split in (("training", training), ("validation", validation)):
        if not split:
            raise InputError(f"no labelled tomogram is left for {name}; annotate more runs or change the split")
    scenes: list[list[LabelledScene]] = []
    for name, split in (("training", training), ("validation", validation)):
        report(f"{name}: {', '.join(one.tomogram.run for one in split)}")
        scenes.append([store_labelled(folder, one, recipe.voxel_size_angstrom) for one in split])
    _check_classes(scenes[0], wanted)
    usable = tuple(scene for scene in scenes[0] if scene.facts["tasks"])
    return LabelledSource(usable, recipe.voxel_size_angstrom, REAL, description), scenes[1]


def _check_classes(scenes: Sequence[LabelledScene], wanted: Sequence[str]) -> None:
    runs = ", ".join(scene.folder.name for scene in scenes)
    if not any(scene.facts["tasks"] for scene in scenes):
        raise InputError(f"nothing is labelled in {runs}; annotate some of it, or name other annotations")
    shown = {name for scene in scenes for name in scene.facts["shown"]}
    for name in SEMANTIC_CLASSES[1:]:
        if name in wanted and name not in shown:
            raise InputError(
                f"class '{name}' has no voxel in the tomograms to learn from ({runs}), so no patch would show it; "
                "label some of it there, or leave it out of the labels"
            )
