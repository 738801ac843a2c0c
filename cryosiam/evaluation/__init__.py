"""Evaluation against a known truth: picks, semantic labels, instances, scores, names, denoising."""

from cryosiam.evaluation.calibration import Reliability, brier_score, reliability
from cryosiam.evaluation.czii import BetaCounts, CziiScore, czii_score, one_to_one_counts, public_counts
from cryosiam.evaluation.fidelity import GreyMatch, match_grey_values, psnr_db, structural_similarity
from cryosiam.evaluation.fourier_shells import FourierShells, fourier_shell_correlation
from cryosiam.evaluation.identification import SpeciesF1, f1_per_class, knn_f1, mlp_f1
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
from cryosiam.evaluation.sizes import SIZE_CLASSES, InstanceScore, instance_scores, size_classes_of
from cryosiam.evaluation.volumes import (
    IOU_THRESHOLDS,
    InstanceOverlap,
    confusion_table,
    dice_of,
    dice_per_class,
    instance_average_precision,
    instance_overlap,
)

__all__ = [
    "IOU_THRESHOLDS",
    "SIZE_CLASSES",
    "BetaCounts",
    "CziiScore",
    "DetectionScore",
    "FourierShells",
    "GreyMatch",
    "InstanceOverlap",
    "InstanceScore",
    "Matching",
    "Reliability",
    "SpeciesF1",
    "average_precision",
    "brier_score",
    "confusion_table",
    "czii_score",
    "dice_of",
    "dice_per_class",
    "f1_per_class",
    "fourier_shell_correlation",
    "hits",
    "instance_average_precision",
    "instance_overlap",
    "instance_scores",
    "knn_f1",
    "match_grey_values",
    "match_positions",
    "mlp_f1",
    "one_to_one_counts",
    "precision_recall_curve",
    "psnr_db",
    "public_counts",
    "reach_of",
    "reliability",
    "score_picks",
    "size_classes_of",
    "structural_similarity",
]
