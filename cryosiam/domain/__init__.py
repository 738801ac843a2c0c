"""The words everyone uses: volumes, tomograms, picks, segmentations, tilt series."""

from cryosiam.domain.picks import Embeddings, Picks
from cryosiam.domain.segmentation import SEMANTIC_CLASSES, Instances, Segmentation
from cryosiam.domain.tilt_series import Hand, TiltAlignment, TiltSeries
from cryosiam.domain.tomogram import ArrayVolume, Contrast, MissingWedge, Tomogram, Volume

__all__ = [
    "SEMANTIC_CLASSES",
    "ArrayVolume",
    "Contrast",
    "Embeddings",
    "Hand",
    "Instances",
    "MissingWedge",
    "Picks",
    "Segmentation",
    "TiltAlignment",
    "TiltSeries",
    "Tomogram",
    "Volume",
]
