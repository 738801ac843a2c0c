"""Segmentation after the networks: particle instances, their scores, and the extent of the sample."""

from cryosiam.segmentation.config import InstanceConfig
from cryosiam.segmentation.instances import InstanceMaps, separate_instances
from cryosiam.segmentation.sample import COARSENING, SampleMask, find_sample
from cryosiam.segmentation.score_fitting import HeldOutScores, fit_score_calibration, held_out_scores
from cryosiam.segmentation.scoring import ScoreCalibration
from cryosiam.segmentation.table import FEATURE_NAMES, InstanceTable

__all__ = [
    "COARSENING",
    "FEATURE_NAMES",
    "HeldOutScores",
    "InstanceConfig",
    "InstanceMaps",
    "InstanceTable",
    "SampleMask",
    "ScoreCalibration",
    "find_sample",
    "fit_score_calibration",
    "held_out_scores",
    "separate_instances",
]
