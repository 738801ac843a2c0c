"""Evaluation against a known truth: picks, semantic labels, instances."""

from cryosiam.evaluation.picks import (
    DetectionScore,
    Matching,
    average_precision,
    hits,
    match_positions,
    precision_recall_curve,
    reach_of,
    score_picks,
)
from cryosiam.evaluation.volumes import (
    InstanceOverlap,
    dice_per_class,
    instance_average_precision,
    instance_overlap,
)

__all__ = [
    "DetectionScore",
    "InstanceOverlap",
    "Matching",
    "average_precision",
    "dice_per_class",
    "hits",
    "instance_average_precision",
    "instance_overlap",
    "match_positions",
    "precision_recall_curve",
    "reach_of",
    "score_picks",
]
