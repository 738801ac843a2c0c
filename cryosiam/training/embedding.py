"""Embeddings of particles, and how well neighbours among them share a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from cryosiam.networks.subtomogram import SubtomogramNetwork
    from cryosiam.training.particles import Particles

MOST_WATCHED: Final = 384
"""Held-out particles that are embedded at every validation: enough to see progress, few enough to cost little."""

_BATCH: Final = 128


@torch.inference_mode()
def embed(network: SubtomogramNetwork, particles: Particles) -> NDArray[np.float32]:
    """Return unit embeddings ``(n, d)`` of particles; the network stays as it is."""
    from cryosiam.networks.folding import fold_batch_norms

    device = next(network.parameters()).device
    folded = fold_batch_norms(network).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    result = np.zeros((len(particles), network.config.embedding_channels), np.float32)
    for start in range(0, len(particles), _BATCH):
        cubes = particles.cubes(np.arange(start, min(start + _BATCH, len(particles)))).to(device)
        result[start : start + _BATCH] = folded(cubes.contiguous(memory_format=torch.channels_last_3d)).cpu().numpy()
    return result


def neighbour_validation(
    held_out: Particles, network_of: Callable[[nn.Module], SubtomogramNetwork]
) -> Callable[[nn.Module], Mapping[str, float]] | None:
    """Return a validation by the nearest neighbour of another specimen (thesis section 4.3).

    Parameters
    ----------
    held_out
        Particles that are not learnt from.
    network_of
        Gives the subtomogram network of the model that is trained.

    Returns
    -------
    Callable or None
        ``score`` is the mean F1 over species. None where no two specimens share two species.
    """
    from cryosiam.evaluation.identification import knn_f1

    named = held_out.named
    chosen = np.zeros(len(named), bool)
    chosen[np.linspace(0, len(named) - 1, min(len(named), MOST_WATCHED)).astype(np.int64)] = True
    watched = named.select(chosen)
    places: dict[str, set[str]] = {}
    for name, source in zip(watched.names, watched.sources, strict=True):
        places.setdefault(name, set()).add(source)
    if sum(len(sources) > 1 for sources in places.values()) < 2:
        return None

    def validate(model: nn.Module) -> Mapping[str, float]:
        return {"score": knn_f1(embed(network_of(model), watched), watched.names, watched.sources).mean}

    return validate
