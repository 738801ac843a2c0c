"""The table of instances: one row per particle, and how it becomes picks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import Picks
from cryosiam.geometry import positions_from_indices

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURE_NAMES: Final = (
    "mean_foreground",
    "mean_boundary",
    "log_voxels",
    "max_distance",
    "mean_distance",
    "roundness",
    "fill",
    "aspect",
)
"""Columns of `InstanceTable.features`."""


@dataclass(frozen=True)
class InstanceTable:
    """One row per instance; row ``i`` is label ``i + 1`` of the label volume.

    Parameters
    ----------
    centroids_zyx
        ``(n, 3)`` centre weighted by the foreground probability, 0-based voxel indices (z, y, x).
    voxels
        ``(n,)`` number of voxels.
    mean_foreground, mean_boundary
        ``(n,)`` mean probabilities in [0, 1] over the instance.
    max_distance, mean_distance
        ``(n,)`` largest and mean predicted distance to the background in voxels.
    peak_height
        ``(n,)`` summit of the smoothed distance in voxels: about the radius of the largest ball inside.
    lower_zyx, upper_zyx
        ``(n, 3)`` bounding box, upper exclusive.
    touches_edge
        ``(n,)`` True where the bounding box reaches the edge of the volume.
    scores
        ``(n,)`` in [0, 1], higher means surer.
    """

    centroids_zyx: NDArray[np.float64]
    voxels: NDArray[np.int64]
    mean_foreground: NDArray[np.float64]
    mean_boundary: NDArray[np.float64]
    max_distance: NDArray[np.float64]
    mean_distance: NDArray[np.float64]
    peak_height: NDArray[np.float64]
    lower_zyx: NDArray[np.int64]
    upper_zyx: NDArray[np.int64]
    touches_edge: NDArray[np.bool_]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.voxels)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Label of each row in the label volume: 1 to n."""
        return np.arange(1, len(self) + 1, dtype=np.int64)

    @property
    def features(self) -> NDArray[np.float64]:
        """``(n, len(FEATURE_NAMES))`` numbers that scores are computed from."""
        voxels = np.maximum(self.voxels, 1)
        extent = (self.upper_zyx - self.lower_zyx).astype(np.float64).reshape(-1, 3)
        ball_radius = np.cbrt(voxels * 3 / (4 * np.pi))
        return np.stack(
            [
                self.mean_foreground,
                self.mean_boundary,
                np.log(voxels),
                self.max_distance,
                self.mean_distance,
                self.peak_height / ball_radius,
                voxels / np.maximum(extent.prod(axis=1), 1),
                extent.max(axis=1, initial=1) / np.maximum(extent.min(axis=1, initial=1e9), 1),
            ],
            axis=1,
        )

    def positions_angstrom(self, voxel_size_angstrom: float) -> NDArray[np.float64]:
        """Return the centres as ``(n, 3)`` positions (x, y, z) in Å."""
        return positions_from_indices(self.centroids_zyx, voxel_size_angstrom)

    def select(self, kept: NDArray[np.bool_]) -> InstanceTable:
        """Return the table of the rows to keep, ``(n,)``; what is left is to be labelled anew from 1."""
        return InstanceTable(**{column.name: getattr(self, column.name)[kept] for column in fields(self)})

    def with_scores(self, scores: NDArray[np.float64]) -> InstanceTable:
        """Return the table with other scores (``(n,)`` in [0, 1])."""
        return replace(self, scores=scores)

    def to_picks(self, run: str, voxel_size_angstrom: float, class_name: str = "particle") -> Picks:
        """Return one pick per instance, all of class ``class_name``."""
        return Picks(
            run=run,
            positions_angstrom=self.positions_angstrom(voxel_size_angstrom),
            scores=self.scores,
            class_names=(class_name,) * len(self),
            instance_ids=self.ids,
        )
