"""Segmentation after the networks: particle instances, their scores, and the extent of the sample."""

from cryosiam.segmentation.config import InstanceConfig
from cryosiam.segmentation.instances import InstanceMaps, separate_instances
from cryosiam.segmentation.sample import COARSENING, SampleMask, find_sample
from cryosiam.segmentation.scoring import ScoreCalibration, fit_score_calibration
from cryosiam.segmentation.table import FEATURE_NAMES, InstanceTable

__all__ = [
    "COARSENING",
    "FEATURE_NAMES",
    "InstanceConfig",
    "InstanceMaps",
    "InstanceTable",
    "SampleMask",
    "ScoreCalibration",
    "find_sample",
    "fit_score_calibration",
    "separate_instances",
]
