"""Classifier of layers: a linear one on the embeddings, or a small network (thesis section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import WeightsError
from cryosiam.identification.naming import NamingClassifier, unit_vectors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Layer = tuple[NDArray[np.float32], NDArray[np.float32]]

_HIDDEN: Final = "hidden"


@dataclass(frozen=True)
class Classifier(NamingClassifier):
    """Layers on unit vectors: ``softmax((h @ weight.T + bias) / temperature)``, with rejection.

    ``h`` is what the hidden layers, each followed by a ReLU, make of an embedding; the embedding itself without any.
    With prototypes (unit class means) for ``weight``, no bias and no hidden layer this is the cosine classifier.

    Parameters
    ----------
    class_names
        ``k`` names.
    weight
        ``(k, h)`` rows per class.
    bias
        ``(k,)``.
    temperature
        Scale of the logits.
    threshold
        Probability below which a particle is `UNKNOWN`.
    hidden
        Weights ``(m, d)`` and biases ``(m,)`` of each hidden layer.
    """

    class_names: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float = 1.0
    threshold: float = 0.5
    hidden: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        self._check()
        k = len(self.class_names)
        if self.weight.ndim != 2 or len(self.weight) != k or self.bias.shape != (k,):
            raise WeightsError(
                f"the classifier names {k} classes and its layer has weights {self.weight.shape} "
                f"and biases {self.bias.shape}; the weights file and its card do not belong together"
            )
        for (weight, bias), (after, _) in pairwise((*self.hidden, (self.weight, self.bias))):
            if weight.ndim != 2 or bias.shape != weight.shape[:1] or after.shape[1] != len(weight):
                raise WeightsError("the layers of the classifier do not fit each other; copy the weights again")

    @property
    def dimensions(self) -> int:
        """Length of the embeddings it names."""
        first = self.hidden[0][0] if self.hidden else self.weight
        return int(first.shape[1])

    def _class_scores(self, units: NDArray[np.float32]) -> NDArray[np.float64]:
        values = units
        for weight, bias in self.hidden:
            values = np.maximum(values @ weight.T + bias, 0)
        return np.asarray(values @ self.weight.T + self.bias, np.float64)

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what a weights file stores; the names go on its card."""
        arrays = {"weight": self.weight, "bias": self.bias, **self._settings()}
        for number, (weight, bias) in enumerate(self.hidden):
            arrays[f"{_HIDDEN}{number}.weight"] = weight
            arrays[f"{_HIDDEN}{number}.bias"] = bias
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], class_names: Sequence[str]) -> Classifier:
        """Read what `to_arrays` gave.

        Raises
        ------
        WeightsError
            If an array is missing or does not fit the names.
        """
        depth = sum(name.startswith(_HIDDEN) and name.endswith(".weight") for name in arrays)
        layers = [(f"{_HIDDEN}{number}.weight", f"{_HIDDEN}{number}.bias") for number in range(depth)]
        wanted = {"weight", "bias", "temperature", "threshold"} | {name for layer in layers for name in layer}
        if missing := wanted - arrays.keys():
            raise WeightsError(f"the classifier in the weights file lacks {', '.join(sorted(missing))}; copy it again")
        return cls(
            class_names=tuple(class_names),
            weight=np.asarray(arrays["weight"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
            temperature=float(arrays["temperature"].reshape(-1)[0]),
            threshold=float(arrays["threshold"].reshape(-1)[0]),
            hidden=tuple((np.asarray(arrays[w], np.float32), np.asarray(arrays[b], np.float32)) for w, b in layers),
        )


def prototype_classifier(
    vectors: ArrayLike, names: Sequence[str], temperature: float = 0.1, threshold: float = 0.5
) -> Classifier:
    """Make a cosine classifier from the mean direction of each class; one example per class is enough.

    Parameters
    ----------
    vectors
        ``(n, d)`` embeddings.
    names
        ``n`` class names.
    temperature, threshold
        As in `Classifier`.
    """
    units = unit_vectors(vectors)
    classes, member = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    means = np.stack([units[member == k].mean(axis=0) for k in range(len(classes))])
    return Classifier(
        class_names=tuple(str(c) for c in classes),
        weight=unit_vectors(means),
        bias=np.zeros(len(classes), np.float32),
        temperature=temperature,
        threshold=threshold,
    )
