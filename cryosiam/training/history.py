"""How weights came about, when they were trained more than once."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from cryosiam.weights import Training


def after(before: Training | None, own: Training) -> Training:
    """Return how weights came about that went on from others.

    Parameters
    ----------
    before
        How those came about; None where there were none.
    own
        What was added.

    Returns
    -------
    Training
        Commands and data of both, in order; data that the network had seen before are not named again. Parameters of a
        stage that was run again stand under its name and a number. Hours are added up.
    """
    if before is None:
        return own
    parameters: dict[str, Any] = dict(before.parameters)
    for stage, values in own.parameters.items():
        again = sum(name == stage or name.startswith(f"{stage} ") for name in parameters)
        parameters[f"{stage} {again + 1}" if again else stage] = values
    seen = [before.data] if before.data else []
    return own.model_copy(
        update={
            "recipe": f"{before.recipe}; {own.recipe}",
            "data": "; ".join(seen if any(own.data in data for data in seen) else [*seen, own.data]),
            "parameters": parameters,
            "hours": round(before.hours + own.hours, 2),
        }
    )


def machine() -> str:
    """Return what this runs on."""
    return f"{platform.machine()}, {torch.get_num_threads()} threads"
