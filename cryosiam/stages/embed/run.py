"""Embed every particle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.stages.check.run import CheckedInput
from cryosiam.stages.dense.products import denoised_scale, dense_products
from cryosiam.stages.embed.config import EmbedConfig
from cryosiam.stages.instances.run import load_particles

if TYPE_CHECKING:
    from cryosiam.stages.stage import StageWork, WeightsUsed
    from cryosiam.weights import SubtomogramWeights

NAME = "embed"


@dataclass(frozen=True)
class EmbedStage:
    """The embedding of particles.

    Parameters
    ----------
    weights
        Weights it uses.
    load
        Loads them; called once there is work to do.
    config
        Settings.
    """

    weights: WeightsUsed
    load: Callable[[], SubtomogramWeights]
    config: EmbedConfig = field(default_factory=EmbedConfig)
    name: str = NAME
    reads: tuple[str, ...] = ("checked", "dense", "instances", "particles")
    makes: tuple[str, ...] = ("embeddings",)

    def prepare(self) -> None:
        """Load and check the weights."""
        self.load()

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the table ``embeddings``: one L2-normalised row per particle."""
        import torch

        from cryosiam.identification.crops import cut_crops
        from cryosiam.inference.precision import choose_device
        from cryosiam.networks.folding import fold_batch_norms

        model = self.load()
        device = choose_device(work.resources.device)
        # Norms folded and channels last: the same vectors in 60 % of the time.
        network = fold_batch_norms(model.network).to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        box, dimensions = network.config.box, network.config.embedding_channels
        # The network learnt with protein dark; the denoised map has the input's contrast.
        sign = CheckedInput.load(work.scratch).contrast_sign
        scale = denoised_scale(work.scratch, sign) if self.config.unit_range else None
        denoised = dense_products(work.scratch).volume("denoised")
        labels: Any = work.scratch.array("instances")
        table, _ = load_particles(work.scratch)
        vectors = np.zeros((len(table), dimensions), np.float32)
        for start in range(0, len(table), self.config.batch):
            part = slice(start, start + self.config.batch)
            work.progress(start, len(table))
            crops = cut_crops(
                denoised, labels, table.centroids_zyx[part], table.ids[part], box, mask=self.config.crops, scale=scale
            )
            crops *= sign
            with torch.inference_mode():
                crops = crops.to(device, memory_format=torch.channels_last_3d)
                vectors[part] = network(crops).float().cpu().numpy()
        work.progress(len(table), len(table))
        work.scratch.save_table("embeddings", {"vectors": vectors})
        return {"device": device, "precision": "float32", "particles": len(table), "dimensions": dimensions}
