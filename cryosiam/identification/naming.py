"""What every classifier of embeddings has in common: names, rejection, and the choice of objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

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


class NamingClassifier(ABC):
    """Gives embeddings names; one whose best class is not likely enough is `UNKNOWN`. A frozen dataclass.

    Attributes
    ----------
    class_names
        ``k`` names.
    temperature
        What scores are divided by before they become probabilities.
    threshold
        Probability below which a particle is `UNKNOWN`.
    """

    class_names: tuple[str, ...]
    temperature: float
    threshold: float

    def _check(self) -> None:
        """Raise WeightsError where the settings make no sense."""
        if len(set(self.class_names)) != len(self.class_names):
            raise WeightsError(f"the classifier names a class twice: {', '.join(self.class_names)}")
        if not self.temperature > 0:
            raise WeightsError(f"the temperature of the classifier must be positive, not {self.temperature}")

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """Length of the embeddings it names."""

    @abstractmethod
    def _class_scores(self, units: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ``(n, k)`` scores of ``(n, d)`` unit vectors, higher is likelier."""

    @abstractmethod
    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what a weights file stores; the names go on its card."""

    def class_scores(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Return ``(n, k)`` scores of ``(n, d)`` embeddings of any length, before the temperature.

        Raises
        ------
        WeightsError
            If the embeddings are of another size.
        """
        units = unit_vectors(vectors)
        if not len(units):
            return np.zeros((0, len(self.class_names)))
        if units.shape[1] != self.dimensions:
            raise WeightsError(
                f"embeddings have {units.shape[1]} dimensions and the classifier wants {self.dimensions}; "
                "use the classifier of the weights that made them"
            )
        return self._class_scores(units)

    def probabilities(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Return ``(n, k)`` class probabilities of ``(n, d)`` embeddings of any length."""
        scores = self.class_scores(vectors)
        return softmax(scores / self.temperature, axis=1) if len(scores) else scores

    def classify(
        self, vectors: ArrayLike, objects: Sequence[str] | None = None, *, nothing_else: bool = False
    ) -> Classification:
        """Name each embedding.

        Parameters
        ----------
        vectors
            ``(n, d)`` embeddings.
        objects
            Names to tell apart; None allows all. A particle that looks like a class that is not listed keeps that
            share of its probability, so it becomes `UNKNOWN` and not the nearest listed class.
        nothing_else
            The sample holds the listed classes alone: the probability of all others is 0 from the start, and what a
            particle has of it goes to the listed ones in proportion (Bayes' rule).

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
        if nothing_else:
            probabilities = np.where(allowed, np.maximum(probabilities, np.finfo(float).tiny), 0.0)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
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

    def with_threshold(self, threshold: float) -> Self:
        """Return the classifier with another rejection threshold."""
        return replace(self, threshold=threshold)  # type: ignore[type-var]

    def with_temperature(self, temperature: float) -> Self:
        """Return the classifier with another temperature."""
        return replace(self, temperature=temperature)  # type: ignore[type-var]

    def _settings(self) -> dict[str, NDArray[np.float32]]:
        return {
            "temperature": np.array([self.temperature], np.float32),
            "threshold": np.array([self.threshold], np.float32),
        }


def unit_vectors(vectors: ArrayLike) -> NDArray[np.float32]:
    """Return ``(n, d)`` vectors scaled to length 1; a zero vector stays zero."""
    array = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    return np.asarray(array / np.maximum(lengths, 1e-12), np.float32)
