"""Class offsets of a trained network, measured on new images of the specimens it learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from cryosiam.training.class_offsets import add_class_offsets, fit_class_offsets
from cryosiam.training.imaged import imaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.data import SimulatedSource

TOMOGRAMS: Final = 24
"""Images that offsets are fitted on: rare classes occur in some of them only."""

FIELD: Final = 160
VOXELS: Final = 300_000
"""Edge of the field cut from each along y and x, and voxels of it that are looked at."""

_STREAM: Final = 0xC1A5


def balance_classes(network: DenseNetwork, source: SimulatedSource, seed: int) -> NDArray[np.float64]:
    """Fit class offsets for the best mean Dice, fold them into the semantic head, and return them.

    Parameters
    ----------
    network
        Trained, in evaluation mode; its semantic head is changed.
    source
        Specimens to image anew. Their labels were learnt from; the images were not.
    seed
        Of specimens, images and voxels.
    """
    samples = [_sample(network, source, np.random.default_rng([seed, _STREAM, number])) for number in range(TOMOGRAMS)]
    # As one tomogram: a class that most lack must not be paid for with specks of it there.
    logits, labels = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    offsets = fit_class_offsets([(logits, labels)])
    add_class_offsets(network, offsets)
    return offsets


@torch.inference_mode()
def _sample(network: DenseNetwork, source: SimulatedSource, rng: np.random.Generator) -> tuple[Any, Any]:
    specimen = source.specimens[int(rng.choice(len(source.specimens), p=source.chances))]
    tomogram = imaged(specimen, rng)
    box = _field(tomogram.shape, network.multiple, rng)
    volume = torch.from_numpy(np.ascontiguousarray(tomogram.noisy[box]))[None, None]
    logits = network(volume, heads=["semantic"])["semantic"][0].flatten(1).numpy()
    labels = np.asarray(specimen.array("semantic")[box]).ravel()
    chosen = rng.choice(len(labels), min(VOXELS, len(labels)), replace=False)
    return logits[:, chosen].T, labels[chosen]


def _field(shape: Sequence[int], multiple: int, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """Return a box of all planes and a field of view, of sizes that the network takes."""
    sizes = [
        min(length, limit) // multiple * multiple for length, limit in zip(shape, (shape[0], FIELD, FIELD), strict=True)
    ]
    starts = [int(rng.integers(0, length - size + 1)) for length, size in zip(shape, sizes, strict=True)]
    z, y, x = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return z, y, x
