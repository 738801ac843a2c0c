"""Clusters: sorting particles by their embeddings where there are no labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError
from cryosiam.identification.classifier import unit_vectors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def cluster_embeddings(vectors: ArrayLike, k: int, seed: int = 0) -> NDArray[np.int64]:
    """Sort embeddings into ``k`` clusters by k-means on unit vectors.

    Parameters
    ----------
    vectors
        ``(n, d)`` embeddings.
    k
        Number of clusters.
    seed
        Same seed, same clusters.

    Returns
    -------
    NDArray
        ``(n,)`` cluster of each embedding, 0 to ``k - 1``, the largest cluster first.

    Raises
    ------
    InputError
        If there are fewer different embeddings than clusters, or ``k`` is not positive.
    """
    from sklearn.cluster import KMeans

    units = unit_vectors(vectors)
    distinct = len(np.unique(units, axis=0)) if len(units) else 0
    if not 1 <= k <= distinct:
        raise InputError(f"cannot sort {distinct} different particles into {k} clusters; ask for 1 to {distinct}")
    labels: NDArray[np.intp] = KMeans(n_clusters=k, n_init=10, random_state=seed).fit_predict(units)
    by_size = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, np.int64)
    rank[by_size] = np.arange(k)
    ranked: NDArray[np.int64] = rank[labels]
    return ranked
