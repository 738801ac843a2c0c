"""Identification: from embeddings to class names or clusters."""

from cryosiam.identification.classifier import (
    UNKNOWN,
    Classification,
    Classifier,
    fit_classifier,
    prototype_classifier,
    unit_vectors,
)
from cryosiam.identification.clustering import cluster_embeddings

__all__ = [
    "UNKNOWN",
    "Classification",
    "Classifier",
    "cluster_embeddings",
    "fit_classifier",
    "prototype_classifier",
    "unit_vectors",
]
