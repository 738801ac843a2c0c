"""Weights and their cards."""

from cryosiam.weights.card import Task, Training, WeightsCard
from cryosiam.weights.store import (
    DenseWeights,
    SubtomogramWeights,
    load_dense,
    load_subtomogram,
    read_card,
    save_weights,
    weights_folder,
)

__all__ = [
    "DenseWeights",
    "SubtomogramWeights",
    "Task",
    "Training",
    "WeightsCard",
    "load_dense",
    "load_subtomogram",
    "read_card",
    "save_weights",
    "weights_folder",
]
