"""Parts of scenes with their labels, as training and validation read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.training.head_losses import HIDDEN, HeadTask, known_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.training.scenes import Scene

Arrays = dict[str, "NDArray[np.generic]"]

KNOWN: Final = "known"
"""Array of scenes that are not labelled throughout: which labels of a voxel are known, a bit for each task."""

KNOWN_BITS: Final[dict[HeadTask, int]] = {task: 1 << number for number, task in enumerate(HeadTask)}
"""Bit of each task in :data:`KNOWN`."""

FACTS: Final = "facts.json"
"""File of such scenes with ``hidden``, names of the classes that nobody annotated, and ``complete``, whether every
particle is labelled."""

ARRAYS: Final = ("noisy", "clean", "semantic", "sample", "boundary", "distance", "instances")


def scene_facts(scene: Scene) -> dict[str, Any]:
    """Return what is stored about the labels of a scene; a simulated one has all of them."""
    path = scene.folder / FACTS
    if not path.is_file():
        return {"hidden": [], "complete": True}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def has_known(scene: Scene) -> bool:
    """Tell whether a scene has voxels of unknown label."""
    return (scene.folder / f"{KNOWN}.npy").is_file()


def cut_scene(scene: Scene, low: tuple[int, int, int], size: tuple[int, int, int]) -> Arrays:
    """Return all arrays of a scene in a box; beyond the scene grey values are 0 and no label is known.

    Parameters
    ----------
    scene
        The scene.
    low
        First voxel of the box (z, y, x).
    size
        Size of the box in voxels.
    """
    stops = [min(start + edge, n) for start, edge, n in zip(low, size, scene.shape, strict=True)]
    z, y, x = (slice(start, stop) for start, stop in zip(low, stops, strict=True))
    missing = [(0, start + edge - stop) for start, edge, stop in zip(low, size, stops, strict=True)]
    arrays: Arrays = {name: np.asarray(scene.array(name)[z, y, x]) for name in ARRAYS}
    inside = arrays["semantic"].shape
    if has_known(scene):
        arrays[KNOWN] = np.asarray(scene.array(KNOWN)[z, y, x])
    elif any(after for _, after in missing):
        arrays[KNOWN] = np.full(inside, sum(KNOWN_BITS.values()), np.uint8)
    return {name: np.pad(array, missing) for name, array in arrays.items()}


def as_patch(arrays: Mapping[str, NDArray[Any]], hidden: NDArray[np.bool_] | None = None) -> dict[str, Tensor]:
    """Turn arrays of a box into a patch.

    Parameters
    ----------
    arrays
        As :func:`cut_scene` gives them, ``(z, y, x)``.
    hidden
        ``(classes,)`` bool: classes that nobody annotated.

    Returns
    -------
    dict
        As :func:`cryosiam.training.patches.cut_patch`, and where there is :data:`KNOWN`, a mask ``(1, z, y, x)`` bool
        for each task (:func:`cryosiam.training.head_losses.known_name`).
    """

    def single(name: str) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(arrays[name], np.float32))[None]

    patch = {name: single(name) for name in ("noisy", "clean", "sample", "boundary")}
    patch["distance"] = single("distance") / 2
    for name in ("semantic", "instances"):
        patch[name] = torch.from_numpy(arrays[name].astype(np.int64))
    patch["foreground"] = (patch["instances"] > 0).float()[None]
    if KNOWN in arrays:
        bits = np.ascontiguousarray(arrays[KNOWN])
        patch |= {known_name(task): torch.from_numpy((bits & bit) > 0)[None] for task, bit in KNOWN_BITS.items()}
    if hidden is not None:
        patch[HIDDEN] = torch.from_numpy(hidden.copy())
    return patch


def hidden_classes(scene: Scene) -> NDArray[np.bool_]:
    """Return ``(classes,)`` bool: classes of a scene that nobody annotated."""
    names = set(scene_facts(scene)["hidden"])
    return np.array([name in names for name in SEMANTIC_CLASSES], bool)
