"""Identification: from embeddings to class names."""

from cryosiam.identification.classifier import (
    UNKNOWN,
    Classification,
    Classifier,
    fit_classifier,
    prototype_classifier,
    unit_vectors,
)

__all__ = [
    "UNKNOWN",
    "Classification",
    "Classifier",
    "fit_classifier",
    "prototype_classifier",
    "unit_vectors",
]
