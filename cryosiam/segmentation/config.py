"""Settings of the instance separation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InstanceConfig:
    """Settings of the instance separation; lengths in voxels of the prediction grid.

    Parameters
    ----------
    foreground_threshold
        Foreground probability from which a voxel belongs to a particle.
    boundary_threshold
        Boundary probability from which a voxel separates particles.
    boundary_weight
        How much a certain boundary lowers the landscape.
    smoothing
        Standard deviation of the Gaussian that smooths the landscape.
    seed_radius
        A seed is the highest voxel within this distance along each axis.
    min_peak
        Least height of a seed.
    max_radius
        Distances are clipped here: no particle has a larger inscribed ball.
    merge_depth, merge_boundary, merge_shape, merge_distance
        Two fragments are cut where ``depth / merge_depth + boundary / merge_boundary + merge_shape * (distance -
        merge_distance)`` exceeds 1, with the relative depth of the valley between them, the mean boundary probability
        on their interface, and the distance of their centres in radii of a ball as large as both: 0.75 for the halves
        of a ball, 1.6 for two balls that touch.
    min_voxels
        Smaller instances are dropped.
    min_score
        Instances that score less are dropped.
    block_size, margin
        Edge of a block's core and the context around it; the margin is at least the largest particle's diameter.

    Raises
    ------
    ValueError
        If a threshold is not a probability, or a length is negative.
    """

    foreground_threshold: float = 0.35
    boundary_threshold: float = 0.9
    boundary_weight: float = 1.0
    smoothing: float = 0.8
    seed_radius: int = 2
    min_peak: float = 0.4
    max_radius: float = 24.0
    merge_depth: float = 0.5
    merge_boundary: float = 1.5
    merge_shape: float = 4.0
    merge_distance: float = 1.4
    min_voxels: int = 40
    min_score: float = 0.0
    block_size: int = 224
    margin: int = 48

    def __post_init__(self) -> None:
        if not (0 < self.foreground_threshold <= 1 and 0 < self.boundary_threshold <= 1):
            raise ValueError("the foreground and boundary thresholds must be above 0 and at most 1")
        if not 0 <= self.min_score <= 1:
            raise ValueError("the least score must be from 0 to 1")
        if self.seed_radius < 1 or self.block_size < 1 or self.margin < 0 or self.min_voxels < 1:
            raise ValueError("seed radius, block size and least voxels must be 1 or more, and the margin 0 or more")
        if min(self.merge_depth, self.merge_boundary, self.merge_distance, self.max_radius) <= 0:
            raise ValueError("merging scales and the largest radius must be positive")
        if min(self.merge_shape, self.smoothing) < 0:
            raise ValueError("the weight of the shape and the smoothing must not be negative")
