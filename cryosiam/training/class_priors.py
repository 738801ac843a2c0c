"""Class offsets of a trained network, measured on new images of the specimens it learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.training.class_offsets import add_class_offsets, fit_class_offsets
from cryosiam.training.imaged import cleared, imaged, normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.data import SimulatedSource
    from cryosiam.training.scene_looks import Look

TOMOGRAMS: Final = 24
"""Most images that offsets are fitted on: rare classes occur in some of them only."""

_IMAGES_OF_EACH: Final = 4
"""Images for each specimen, where these are fewer: drawn at random, they miss hardly any of few specimens."""

FIELD: Final = 160
VOXELS: Final = 100_000
"""Edge of the field cut from each along y and x, and voxels of it that are looked at."""

_STREAM: Final = 0xC1A5


def balance_classes(
    network: DenseNetwork, source: SimulatedSource, seed: int, looks: Sequence[Look] = ("noisy",)
) -> NDArray[np.float64]:
    """Fit class offsets for the best mean Dice, fold them into the semantic head, and return them.

    Parameters
    ----------
    network
        Trained, in evaluation mode; its semantic head is changed.
    source
        Specimens to image anew. Their labels were learnt from; the images were not.
    seed
        Of specimens, images and voxels.
    looks
        As what the network is shown tomograms; all count alike.
    """
    samples = [
        _sample(network, source, np.random.default_rng([seed, _STREAM, number]), looks)
        for number in range(min(TOMOGRAMS, _IMAGES_OF_EACH * len(source.specimens)))
    ]
    # All of a look as one tomogram: a class that most lack must not be paid for with specks of it there.
    labels = np.concatenate([known for _, known in samples])
    offsets = fit_class_offsets([(np.concatenate([logits[look] for logits, _ in samples]), labels) for look in looks])
    add_class_offsets(network, offsets)
    return offsets


@torch.inference_mode()
def _sample(
    network: DenseNetwork, source: SimulatedSource, rng: np.random.Generator, looks: Sequence[Look]
) -> tuple[dict[Look, NDArray[np.float32]], NDArray[np.generic]]:
    """Return the logits ``(n, classes)`` of each look of a specimen, and the true labels ``(n,)``."""
    specimen = source.specimens[int(rng.choice(len(source.specimens), p=source.chances))]
    tomogram = imaged(specimen, rng)
    box = _field(tomogram.shape, network.multiple, rng)
    labels = np.asarray(specimen.array("semantic")[box]).ravel()
    chosen = rng.choice(len(labels), min(VOXELS, len(labels)), replace=False)
    logits = {}
    for look in looks:
        shown = tomogram.noisy[box]
        if look == "clear":
            shown = cleared(specimen, rng).noisy[box]
        elif look == "denoised":
            shown = normalised(_run(network, shown, "denoise")[0], specimen.folder.name)
        logits[look] = _run(network, shown, "semantic").reshape(len(SEMANTIC_CLASSES), -1)[:, chosen].T
    return logits, labels[chosen]


def _run(network: DenseNetwork, volume: NDArray[np.float32], head: str) -> NDArray[np.float32]:
    """Return what a head gives, ``(channels, z, y, x)``."""
    answer = network(torch.from_numpy(np.ascontiguousarray(volume))[None, None], heads=[head])
    return np.asarray(answer[head][0].numpy())


def _field(shape: Sequence[int], multiple: int, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """Return a box of all planes and a field of view, of sizes that the network takes."""
    sizes = [
        min(length, limit) // multiple * multiple for length, limit in zip(shape, (shape[0], FIELD, FIELD), strict=True)
    ]
    starts = [int(rng.integers(0, length - size + 1)) for length, size in zip(shape, sizes, strict=True)]
    z, y, x = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return z, y, x
