"""Fitting the small network that names embeddings (thesis section 3.4)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cryosiam.identification.classifier import Classifier
from cryosiam.identification.naming import unit_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

HIDDEN_LAYERS: Final = (256, 128)
"""Widths of the layers before the output, as in the thesis."""

_BATCH: Final = 256
_FEWEST_STEPS: Final = 400
_LEARNING_RATE: Final = 2e-3
_JITTER: Final = 0.2
"""Deviation of the noise on inputs of unit deviation: embeddings that were learnt from are too tidy."""


def fit_network(
    vectors: ArrayLike,
    names: Sequence[str],
    *,
    layers: Sequence[int] = HIDDEN_LAYERS,
    epochs: int = 60,
    seed: int = 0,
) -> Classifier:
    """Fit a network of ReLU layers on labelled embeddings, every species counting alike.

    Parameters
    ----------
    vectors
        ``(n, d)`` embeddings.
    names
        ``n`` class names, at least two different ones.
    layers
        Widths of the hidden layers.
    epochs
        How often as many examples as there are embeddings are drawn, of few embeddings more often.
    seed
        Of the initial weights and of the examples.

    Raises
    ------
    ValueError
        If there are fewer than two classes.
    """
    units = unit_vectors(vectors)
    classes, member = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    if len(classes) < 2:
        raise ValueError("a classifier needs two classes or more")
    centre, scale = units.mean(axis=0), np.maximum(units.std(axis=0), 1e-6)
    x, y = torch.from_numpy((units - centre) / scale), torch.from_numpy(member.astype(np.int64))
    model = _fitted((units.shape[1], *layers, len(classes)), x, y, epochs, seed)
    found = [(one.weight.detach().numpy(), one.bias.detach().numpy()) for one in model if isinstance(one, nn.Linear)]
    # The first layer takes over the scaling of its input.
    weight, bias = found[0]
    found[0] = (weight / scale, bias - weight @ (centre / scale))
    stored = [(np.asarray(w, np.float32), np.asarray(b, np.float32)) for w, b in found]
    return Classifier(
        class_names=tuple(str(c) for c in classes),
        weight=stored[-1][0],
        bias=stored[-1][1],
        hidden=tuple(stored[:-1]),
    )


def _fitted(widths: tuple[int, ...], x: torch.Tensor, y: torch.Tensor, epochs: int, seed: int) -> nn.Sequential:
    chances = (1 / torch.bincount(y).double())[y]
    generator = torch.Generator().manual_seed(seed)
    model = _layers(widths, generator)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    steps = max(_FEWEST_STEPS, epochs * len(x) // _BATCH)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - step / steps)
        drawn = torch.multinomial(chances, _BATCH, replacement=True, generator=generator)
        example = x[drawn] + _JITTER * torch.randn(_BATCH, x.shape[1], generator=generator)
        loss = F.cross_entropy(model(example), y[drawn], label_smoothing=0.05)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model


def _layers(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    parts: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layer = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            layer.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            layer.bias.zero_()
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])
