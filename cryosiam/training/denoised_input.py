"""Networks that learn from denoised tomograms (thesis section 3.4: denoise, then segment)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cryosiam.errors import TrainingError
from cryosiam.inference.normalisation import whole_range
from cryosiam.training.pipeline import denoise_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.training.scenes import Scene
    from cryosiam.training.task import Batch, Batches


class OnDenoised(nn.Module):
    """A denoiser that does not learn, and a network that reads what it gives, scaled from 0 to 1.

    Parameters
    ----------
    denoiser
        Network with the head ``denoise``.
    network
        Network that learns.
    """

    def __init__(self, denoiser: DenseNetwork, network: DenseNetwork) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.network = network

    def forward(self, noisy: Tensor, limits: Tensor) -> dict[str, Tensor]:
        """Return the heads of the network that learns.

        Parameters
        ----------
        noisy
            ``(b, 1, z, y, x)`` normalised voxels.
        limits
            ``(b, 2)``: least and greatest value of the denoised tomogram, which become 0 and 1.
        """
        with torch.no_grad():
            denoised = self.denoiser(noisy, ("denoise",))["denoise"].float()
            low, high = (value[:, None, None, None, None] for value in limits.to(denoised).unbind(dim=1))
            scaled = (denoised - low) / (high - low)
        answer: dict[str, Tensor] = self.network(scaled.to(memory_format=torch.channels_last_3d))
        return answer


class WithLimits:
    """Batches with ``limits``, each patch's drawn from those measured on whole tomograms.

    Inference scales a denoised tomogram by its own least and greatest value, which a patch does not know.

    Parameters
    ----------
    batches
        The batches.
    limits
        ``(n, 2)`` float32 least and greatest value of denoised tomograms.
    seed
        Of the draws.
    """

    def __init__(self, batches: Batches, limits: NDArray[np.float32], seed: int) -> None:
        self._batches, self._limits, self._seed = batches, limits, seed

    def __call__(self, number: int) -> Batch:
        """Return one batch; it depends on the seed and on ``number`` alone."""
        batch = dict(self._batches(number))
        rng = np.random.default_rng([self._seed, 2, number])
        chosen = rng.integers(len(self._limits), size=len(batch["noisy"]))
        return {**batch, "limits": torch.from_numpy(self._limits[chosen])}


def denoised_limits(denoiser: DenseNetwork, scenes: Sequence[Scene]) -> NDArray[np.float32]:
    """Return least and greatest value ``(n, 2)`` of each scene once it is denoised as inference does.

    Raises
    ------
    TrainingError
        If there is no scene.
    """
    if not scenes:
        raise TrainingError(
            "learning from denoised tomograms needs held-out tomograms to scale them by; there are none"
        )
    return np.array([_limits(denoiser, scene.array("noisy")) for scene in scenes], np.float32)


def _limits(denoiser: DenseNetwork, noisy: NDArray[Any]) -> tuple[float, float]:
    with denoise_volume(noisy, denoiser) as products:
        found = whole_range(products.volume("denoised"))
    return found.low, found.high
