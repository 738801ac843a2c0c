"""Weights and their cards."""

from cryosiam.weights.card import Task, Training, WeightsCard
from cryosiam.weights.folders import named_folders, read_card, read_cards, user_weights, weights_folder
from cryosiam.weights.store import (
    DenseWeights,
    PretrainedWeights,
    SubtomogramWeights,
    load_dense,
    load_dense_parts,
    load_pretrained,
    load_subtomogram,
    save_weights,
)

__all__ = [
    "DenseWeights",
    "PretrainedWeights",
    "SubtomogramWeights",
    "Task",
    "Training",
    "WeightsCard",
    "load_dense",
    "load_dense_parts",
    "load_pretrained",
    "load_subtomogram",
    "named_folders",
    "read_card",
    "read_cards",
    "save_weights",
    "user_weights",
    "weights_folder",
]
