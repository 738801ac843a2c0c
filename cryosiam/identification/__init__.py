"""Identification: from embeddings to class names."""

from cryosiam.identification.classifier import Classifier, prototype_classifier
from cryosiam.identification.naming import UNKNOWN, Classification, NamingClassifier, unit_vectors
from cryosiam.identification.neighbours import NeighbourClassifier
from cryosiam.identification.stored import read_classifier

__all__ = [
    "UNKNOWN",
    "Classification",
    "Classifier",
    "NamingClassifier",
    "NeighbourClassifier",
    "prototype_classifier",
    "read_classifier",
    "unit_vectors",
]
