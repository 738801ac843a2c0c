"""Classifier by the nearest of a set of known embeddings (thesis section 3.4: one neighbour)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import WeightsError
from cryosiam.identification.naming import NamingClassifier, unit_vectors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

REFERENCES: Final = "references"
"""Array by which weights with a reference set are known."""

_CHUNK: Final = 4096


@dataclass(frozen=True)
class NeighbourClassifier(NamingClassifier):
    """The species of the nearest reference by cosine; its probability from the nearest reference of every species.

    Parameters
    ----------
    class_names
        ``k`` names.
    references
        ``(m, d)`` unit vectors.
    members
        ``(m,)`` class of each, from 0 to ``k - 1``; every class has one or more.
    temperature
        Scale of the cosines.
    threshold
        Probability below which a particle is `UNKNOWN`.
    """

    class_names: tuple[str, ...]
    references: NDArray[np.float32]
    members: NDArray[np.int64]
    temperature: float = 0.1
    threshold: float = 0.5

    def __post_init__(self) -> None:
        self._check()
        known = np.unique(self.members)
        if self.references.ndim != 2 or self.members.shape != self.references.shape[:1]:
            raise WeightsError("the reference set of the classifier is not whole; copy the weights again")
        if not np.array_equal(known, np.arange(len(self.class_names))):
            raise WeightsError(
                f"the classifier names {len(self.class_names)} classes and has references of {len(known)}; "
                "the weights file and its card do not belong together"
            )

    @property
    def dimensions(self) -> int:
        """Length of the embeddings it names."""
        return int(self.references.shape[1])

    def _class_scores(self, units: NDArray[np.float32]) -> NDArray[np.float64]:
        order = np.argsort(self.members, kind="stable")
        starts = np.searchsorted(self.members[order], np.arange(len(self.class_names)))
        known = self.references[order].T
        scores = np.empty((len(units), len(self.class_names)))
        for start in range(0, len(units), _CHUNK):
            part = slice(start, start + _CHUNK)
            scores[part] = np.maximum.reduceat(units[part] @ known, starts, axis=1)
        return scores

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what a weights file stores; the names go on its card."""
        return {REFERENCES: self.references, "members": self.members.astype(np.float32), **self._settings()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], class_names: Sequence[str]) -> NeighbourClassifier:
        """Read what `to_arrays` gave.

        Raises
        ------
        WeightsError
            If an array is missing or does not fit the names.
        """
        if missing := {REFERENCES, "members", "temperature", "threshold"} - arrays.keys():
            raise WeightsError(f"the classifier in the weights file lacks {', '.join(sorted(missing))}; copy it again")
        return cls(
            class_names=tuple(class_names),
            references=np.asarray(arrays[REFERENCES], np.float32),
            members=np.asarray(arrays["members"]).astype(np.int64),
            temperature=float(arrays["temperature"].reshape(-1)[0]),
            threshold=float(arrays["threshold"].reshape(-1)[0]),
        )


def choose_references(
    vectors: ArrayLike, names: Sequence[str], most_per_class: int, seed: int = 0
) -> NeighbourClassifier:
    """Make a reference set: all embeddings of a class, or the centres of as many clusters as are allowed.

    Parameters
    ----------
    vectors
        ``(n, d)`` embeddings.
    names
        ``n`` class names.
    most_per_class
        References of one class; together they bound the size of the weights.
    seed
        Of the clusters.
    """
    from sklearn.cluster import KMeans

    units = unit_vectors(vectors)
    classes, member = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    chosen, owner = [], []
    for k in range(len(classes)):
        mine = units[member == k]
        if len(mine) > most_per_class:
            mine = KMeans(most_per_class, n_init=1, max_iter=30, random_state=seed).fit(mine).cluster_centers_
        chosen.append(unit_vectors(mine))
        owner.append(np.full(len(mine), k, np.int64))
    return NeighbourClassifier(tuple(str(c) for c in classes), np.concatenate(chosen), np.concatenate(owner))
