"""Protocols of CryoSiam."""

from __future__ import annotations

from .protocol_denoise import ProtCryosiamDenoise
from .protocol_pick import ProtCryosiamPick
from .protocol_segment import ProtCryosiamSegment

__all__ = ["ProtCryosiamDenoise", "ProtCryosiamPick", "ProtCryosiamSegment"]
