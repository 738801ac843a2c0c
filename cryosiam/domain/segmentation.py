"""Semantic and instance segmentations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryosiam.domain.tomogram import Volume

SEMANTIC_CLASSES: Final = ("background", "membrane", "particle", "microtubule", "actin", "filament")
"""Semantic classes in the order of their network channel; ``filament`` is DNA or RNA."""


@dataclass(frozen=True)
class Segmentation:
    """A label per voxel.

    Parameters
    ----------
    run
        Name of the run.
    labels
        Label volume (z, y, x), integers; 0 is background.
    names
        Name of each label value.
    voxel_size_angstrom
        Edge of the cubic voxel in Å.
    """

    run: str
    labels: Volume
    names: dict[int, str]
    voxel_size_angstrom: float


@dataclass(frozen=True)
class Instances:
    """One integer id per object.

    Parameters
    ----------
    run
        Name of the run.
    labels
        Id volume (z, y, x); 0 is no object.
    count
        Number of objects; ids run from 1 to ``count``.
    voxel_size_angstrom
        Edge of the cubic voxel in Å.
    """

    run: str
    labels: Volume
    count: int
    voxel_size_angstrom: float
