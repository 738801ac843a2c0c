"""A held-out scene as a network may be shown it: as the microscope gives it, noiseless, or denoised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cryosiam.domain import ArrayVolume
from cryosiam.inference.normalisation import measure_normalisation
from cryosiam.training.pipeline import denoise_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.training.scenes import Scene
    from cryosiam.weights import DenseWeights

Look = Literal["noisy", "clear", "denoised"]


def scene_look(scene: Scene, look: Look, parts: Sequence[DenseWeights]) -> NDArray[np.generic]:
    """Return a scene in one of its looks, ``(z, y, x)``, normalised as inference normalises a whole tomogram.

    Parameters
    ----------
    scene
        The scene.
    look
        ``denoised`` is what the first of ``parts`` that denoises makes of it.
    parts
        The networks.
    """
    noisy = scene.array("noisy")
    if look == "noisy":
        return noisy
    if look == "clear":
        return _normalised(scene, np.asarray(scene.array("clean"), np.float32))
    denoiser = next(part.network for part in parts if "denoise" in part.card.heads)
    with denoise_volume(noisy, denoiser) as products:
        return _normalised(scene, np.array(products.array("denoised"), np.float32))


def _normalised(scene: Scene, volume: NDArray[np.float32]) -> NDArray[np.float32]:
    return measure_normalisation(ArrayVolume(volume), run=scene.folder.name, source="simulated").apply(volume)
