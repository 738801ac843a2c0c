"""A held-out scene as a network may be shown it: as the microscope gives it, noiseless, or denoised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cryosiam.training.imaged import normalised
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
        return normalised(np.asarray(scene.array("clean"), np.float32), scene.folder.name)
    denoiser = next(part.network for part in parts if "denoise" in part.card.heads)
    with denoise_volume(noisy, denoiser) as products:
        return normalised(np.array(products.array("denoised"), np.float32), scene.folder.name)
