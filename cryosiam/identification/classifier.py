"""Classifier: names for embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import softmax

from cryosiam.errors import InputError, WeightsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

UNKNOWN: Final = "particle"
"""Name of a particle that is none of the known classes, or not surely one."""


@dataclass(frozen=True)
class Classification:
    """Names of the embeddings of one run.

    Parameters
    ----------
    names
        ``n`` names; `UNKNOWN` where no class is sure.
    confidence
        ``(n,)`` probability of the best class that was allowed, also where it was rejected.
    probabilities
        ``(n, k)`` probability of every class, rows add up to 1.
    class_names
        Names of the columns.
    """

    names: tuple[str, ...]
    confidence: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Classifier:
    """A linear layer on unit vectors, with rejection: ``softmax((v @ weight.T + bias) / temperature)``.

    With prototypes (unit class means) for ``weight`` and no bias this is the cosine classifier.

    Parameters
    ----------
    class_names
        ``k`` names.
    weight
        ``(k, d)`` rows per class.
    bias
        ``(k,)``.
    temperature
        Scale of the logits.
    threshold
        Probability below which a particle is `UNKNOWN`.
    """

    class_names: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        k = len(self.class_names)
        if self.weight.ndim != 2 or len(self.weight) != k or self.bias.shape != (k,):
            raise WeightsError(
                f"the classifier names {k} classes and its layer has weights {self.weight.shape} "
                f"and biases {self.bias.shape}; the weights file and its card do not belong together"
            )
        if len(set(self.class_names)) != k:
            raise WeightsError(f"the classifier names a class twice: {', '.join(self.class_names)}")
        if not self.temperature > 0:
            raise WeightsError(f"the temperature of the classifier must be positive, not {self.temperature}")

    def probabilities(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Return ``(n, k)`` class probabilities of ``(n, d)`` embeddings of any length."""
        units = unit_vectors(vectors)
        if not len(units):
            return np.zeros((0, len(self.class_names)))
        if units.shape[1] != self.weight.shape[1]:
            raise WeightsError(
                f"embeddings have {units.shape[1]} dimensions and the classifier wants {self.weight.shape[1]}; "
                "use the classifier of the weights that made them"
            )
        result: NDArray[np.float64] = softmax((units @ self.weight.T + self.bias) / self.temperature, axis=1)
        return result

    def classify(self, vectors: ArrayLike, objects: Sequence[str] | None = None) -> Classification:
        """Name each embedding.

        Parameters
        ----------
        vectors
            ``(n, d)`` embeddings.
        objects
            Names to tell apart; None allows all. A particle that looks like a class that is not listed keeps that
            share of its probability, so it becomes `UNKNOWN` and not the nearest listed class.

        Raises
        ------
        InputError
            If a listed name is not a class of this classifier.
        WeightsError
            If the embeddings are of another size.
        """
        if objects is not None:
            self.check_objects(objects)
        probabilities = self.probabilities(vectors)
        allowed = np.array([objects is None or name in objects for name in self.class_names], bool)
        if not len(probabilities) or not allowed.any():
            names = (UNKNOWN,) * len(probabilities)
            return Classification(names, np.zeros(len(probabilities)), probabilities, self.class_names)
        best = np.where(allowed, probabilities, -1.0).argmax(axis=1)
        confidence = probabilities[np.arange(len(best)), best]
        names = tuple(
            self.class_names[b] if p >= self.threshold else UNKNOWN for b, p in zip(best, confidence, strict=True)
        )
        return Classification(names, confidence, probabilities, self.class_names)

    def check_objects(self, objects: Sequence[str]) -> None:
        """Raise InputError where ``objects`` names something this classifier does not know."""
        unknown = [name for name in objects if name not in self.class_names and name != UNKNOWN]
        if unknown:
            raise InputError(
                f"--objects names {', '.join(unknown)}, which these weights do not know; "
                f"they know {', '.join(self.class_names)}, and {UNKNOWN} for all others"
            )

    def with_threshold(self, threshold: float) -> Classifier:
        """Return the classifier with another rejection threshold."""
        return replace(self, threshold=threshold)

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what a weights file stores; the names go on its card."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "temperature": np.array([self.temperature], np.float32),
            "threshold": np.array([self.threshold], np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], class_names: Sequence[str]) -> Classifier:
        """Read what `to_arrays` gave.

        Raises
        ------
        WeightsError
            If an array is missing or does not fit the names.
        """
        missing = {"weight", "bias", "temperature", "threshold"} - arrays.keys()
        if missing:
            raise WeightsError(f"the classifier in the weights file lacks {', '.join(sorted(missing))}; copy it again")
        return cls(
            class_names=tuple(class_names),
            weight=np.asarray(arrays["weight"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
            temperature=float(arrays["temperature"].reshape(-1)[0]),
            threshold=float(arrays["threshold"].reshape(-1)[0]),
        )


def unit_vectors(vectors: ArrayLike) -> NDArray[np.float32]:
    """Return ``(n, d)`` vectors scaled to length 1; a zero vector stays zero."""
    array = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    return np.asarray(array / np.maximum(lengths, 1e-12), np.float32)


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


def fit_classifier(
    vectors: ArrayLike,
    names: Sequence[str],
    *,
    penalty: float = 0.02,
    keep: float = 0.95,
    folds: int = 5,
    seed: int = 0,
) -> Classifier:
    """Fit a logistic regression on labelled embeddings.

    Parameters
    ----------
    vectors
        ``(n, d)`` embeddings.
    names
        ``n`` class names, at least two different ones.
    penalty
        Strength of the L2 penalty.
    keep
        Share of the right answers that the rejection threshold lets pass, on folds the fit has not seen.
    folds
        Folds for the threshold; fewer where a class has fewer examples.
    seed
        Of the folds.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a class has only one example.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    units = unit_vectors(vectors)
    classes, member, counts = np.unique(np.asarray(names, dtype=str), return_inverse=True, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise ValueError("a classifier needs two classes or more, with two examples or more of each")
    model = LogisticRegression(C=1 / penalty, max_iter=2000)
    splits = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=seed)
    held_out = cross_val_predict(model, units, member, cv=splits, method="predict_proba")
    right = held_out.argmax(axis=1) == member
    threshold = float(np.quantile(held_out[right].max(axis=1), 1 - keep)) if right.any() else 0.5
    model.fit(units, member)
    weight, bias = model.coef_, model.intercept_
    if len(classes) == 2:
        # One logit for two classes: split it evenly, so that the softmax of both is its logistic.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Classifier(
        class_names=tuple(str(c) for c in classes),
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32),
        threshold=threshold,
    )
