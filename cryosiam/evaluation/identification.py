"""How well embeddings tell species apart: k-nearest neighbours and a small network (thesis sections 3.5 and 4.3)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Predict = Callable[[NDArray[np.float32]], NDArray[np.int64]]
    Fit = Callable[[NDArray[np.float32], NDArray[np.int64], int], Predict]

NEIGHBOURS: Final = 1
"""The thesis classifies by the one nearest neighbour."""

HIDDEN_LAYERS: Final = (256, 128)
"""Layers of the thesis' network before its output."""

MOST_FOLDS: Final = 4
MOST_EPOCHS: Final = 100
_MOST_LABELLED: Final = 20_000
_BATCHES: Final = (16, 256)
_CHUNK: Final = 2048


@dataclass(frozen=True)
class SpeciesF1:
    """F1 of each species by one classifier, on particles it did not learn from.

    Parameters
    ----------
    names
        ``k`` species.
    count
        ``(k,)`` particles of each.
    f1
        ``(k,)`` F1 (thesis equation 23); NaN where all particles of a species were held out together, so that nothing
        could be learnt of it.
    """

    names: tuple[str, ...]
    count: NDArray[np.int64]
    f1: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over the species that could be learnt; NaN where none could."""
        learnt = self.f1[np.isfinite(self.f1)]
        return float(learnt.mean()) if len(learnt) else float("nan")


def f1_per_class(predicted: ArrayLike, truth: ArrayLike, class_count: int) -> NDArray[np.float64]:
    """Return ``(class_count,)`` F1 of labels from 0 to ``class_count - 1``; NaN for one that neither side holds."""
    a, b = np.asarray(predicted, np.int64), np.asarray(truth, np.int64)
    table = np.bincount(a * class_count + b, minlength=class_count**2).reshape(class_count, class_count)
    total = table.sum(axis=0) + table.sum(axis=1)
    return np.where(total > 0, 2 * np.diag(table) / np.maximum(total, 1), np.nan)


def knn_f1(
    vectors: ArrayLike, names: Sequence[str], runs: Sequence[str], neighbours: int = NEIGHBOURS, seed: int = 0
) -> SpeciesF1:
    """Classify embeddings by the nearest ones of other tomograms, by cosine distance.

    Parameters
    ----------
    vectors
        ``(n, d)`` embeddings of any length.
    names
        ``n`` true species.
    runs
        ``n`` tomograms they are from. Particles are never classified by others of their own tomogram; of a single
        tomogram, halves drawn by ``seed`` classify each other.
    neighbours
        Number of neighbours that vote; of a tie the nearest decides.
    seed
        Of the folds.

    Raises
    ------
    ValueError
        If there are fewer than two species.
    """

    def fit(known: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> Predict:
        return lambda unknown: _nearest(known, labels, unknown, neighbours, count)

    return _held_out_f1(vectors, names, runs, seed, fit)


def mlp_f1(vectors: ArrayLike, names: Sequence[str], runs: Sequence[str], seed: int = 0) -> SpeciesF1:
    """Classify embeddings by a network of three layers that learnt on other tomograms. Parameters as `knn_f1`."""

    def fit(known: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> Predict:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        if len(np.unique(labels)) < 2:
            return lambda unknown: np.full(len(unknown), labels[0])
        centre, scale = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
        batch = min(int(np.clip(len(known) // 20, *_BATCHES)), len(known))
        model = MLPClassifier(HIDDEN_LAYERS, batch_size=batch, max_iter=MOST_EPOCHS, random_state=seed)
        with warnings.catch_warnings():
            # Stopping after a fixed number of epochs is what is wanted.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit((known - centre) / scale, labels)
        return lambda unknown: np.asarray(model.predict((unknown - centre) / scale), np.int64)

    return _held_out_f1(vectors, names, runs, seed, fit)


def _held_out_f1(vectors: ArrayLike, names: Sequence[str], runs: Sequence[str], seed: int, fit: Fit) -> SpeciesF1:
    units = _units(vectors)
    species, labels, counts = np.unique(np.asarray(names, dtype=str), return_inverse=True, return_counts=True)
    if len(species) < 2:
        raise ValueError("species can be told apart only where there are two or more")
    rng = np.random.default_rng(seed)
    predicted = np.zeros(len(labels), np.int64)
    learnt = np.zeros(len(species), bool)
    for held_out in _folds(labels, np.asarray(runs, dtype=str), rng):
        known = np.flatnonzero(~held_out)
        learnt[np.intersect1d(labels[known], labels[held_out])] = True
        if len(known) > _MOST_LABELLED:
            known = np.sort(rng.choice(known, _MOST_LABELLED, replace=False))
        predicted[held_out] = fit(units[known], labels[known], len(species))(units[held_out])
    f1 = np.where(learnt, f1_per_class(predicted, labels, len(species)), np.nan)
    return SpeciesF1(tuple(str(name) for name in species), counts.astype(np.int64), f1)


def _folds(labels: NDArray[np.int64], runs: NDArray[np.str_], rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    """Yield which particles are held out: whole tomograms, or halves of every species where there is only one."""
    tomograms, member = np.unique(runs, return_inverse=True)
    folds = min(len(tomograms), MOST_FOLDS)
    if folds == 1:
        folds, member = 2, np.zeros(len(labels), np.int64)
        for label in np.unique(labels):
            mine = rng.permutation(np.flatnonzero(labels == label))
            # Of a species with an odd number the one more goes to either half in turn, so that no half is empty.
            member[mine] = (np.arange(len(mine)) + label) % 2
    for fold in range(folds):
        held_out = member % folds == fold
        yield held_out


def _nearest(
    known: NDArray[np.float32],
    labels: NDArray[np.int64],
    unknown: NDArray[np.float32],
    neighbours: int,
    count: int,
) -> NDArray[np.int64]:
    """Return the label that most of the nearest known vectors have; chunks keep the table of distances small."""
    k = min(neighbours, len(known))
    result = np.zeros(len(unknown), np.int64)
    for start in range(0, len(unknown), _CHUNK):
        part = slice(start, start + _CHUNK)
        likeness = unknown[part] @ known.T
        near = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(likeness, near, axis=1), axis=1, kind="stable")
        voters = labels[np.take_along_axis(near, order, axis=1)]
        votes = np.zeros((len(voters), count))
        for rank in range(k):
            # A vote counts slightly less the farther its voter is, which only decides ties.
            votes[np.arange(len(voters)), voters[:, rank]] += 1 + (k - rank) / (2 * k * (k + 1))
        result[part] = votes.argmax(axis=1)
    return result


def _units(vectors: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(vectors, np.float32)
    return np.asarray(array / np.maximum(np.linalg.norm(array, axis=-1, keepdims=True), 1e-12), np.float32)
