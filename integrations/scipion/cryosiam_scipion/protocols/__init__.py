"""Protocols of CryoSiam."""

from __future__ import annotations

from .protocol_classify import ProtCryosiamClassify
from .protocol_denoise import ProtCryosiamDenoise
from .protocol_pick import ProtCryosiamPick
from .protocol_segment import ProtCryosiamSegment
from .protocol_train import ProtCryosiamTrain

__all__ = [
    "ProtCryosiamClassify",
    "ProtCryosiamDenoise",
    "ProtCryosiamPick",
    "ProtCryosiamSegment",
    "ProtCryosiamTrain",
]
