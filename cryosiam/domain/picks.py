"""Picks and embeddings: one row per particle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Picks:
    """Particles of one run.

    Parameters
    ----------
    run
        Name of the run.
    positions_angstrom
        ``(n, 3)`` float64 positions (x, y, z) in Å; 0 is the centre of the first voxel.
    scores
        ``(n,)`` float64 in [0, 1]; higher means surer.
    class_names
        ``n`` names, one per pick.
    instance_ids
        ``(n,)`` int64 label of the pick in the instance segmentation, 0 where there is none.
    rotations
        ``(n, 3, 3)`` object -> tomogram rotation matrices, or None where orientations are unknown.
    radii_angstrom
        ``(n,)`` float64 radius in Å of a ball as large as each particle, or None where sizes are unknown.

    Raises
    ------
    ValueError
        If the columns differ in length, or a position or score is not finite.
    """

    run: str
    positions_angstrom: NDArray[np.float64]
    scores: NDArray[np.float64]
    class_names: tuple[str, ...]
    instance_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rotations: NDArray[np.float64] | None = None
    radii_angstrom: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.positions_angstrom)
        if self.instance_ids.shape == (0,) and n:
            object.__setattr__(self, "instance_ids", np.zeros(n, np.int64))
        if self.positions_angstrom.shape != (n, 3):
            raise ValueError(f"positions must be (n, 3), not {self.positions_angstrom.shape}")
        if not len(self.scores) == len(self.class_names) == len(self.instance_ids) == n:
            raise ValueError("positions, scores, class names and instance ids differ in length")
        if self.rotations is not None and self.rotations.shape != (n, 3, 3):
            raise ValueError(f"rotations must be ({n}, 3, 3), not {self.rotations.shape}")
        if self.radii_angstrom is not None and len(self.radii_angstrom) != n:
            raise ValueError(f"radii must be ({n},), not {self.radii_angstrom.shape}")
        if not (np.isfinite(self.positions_angstrom).all() and np.isfinite(self.scores).all()):
            raise ValueError("a position or a score is not a finite number")

    def __len__(self) -> int:
        return len(self.positions_angstrom)

    def select(self, mask: NDArray[np.bool_]) -> Picks:
        """Return the picks where ``mask`` (``(n,)`` bool) is true, in the same order."""
        return Picks(
            run=self.run,
            positions_angstrom=self.positions_angstrom[mask],
            scores=self.scores[mask],
            class_names=tuple(name for name, keep in zip(self.class_names, mask, strict=True) if keep),
            instance_ids=self.instance_ids[mask],
            rotations=None if self.rotations is None else self.rotations[mask],
            radii_angstrom=None if self.radii_angstrom is None else self.radii_angstrom[mask],
        )

    def of_class(self, name: str) -> Picks:
        """Return the picks of class ``name``."""
        return self.select(np.array([c == name for c in self.class_names], dtype=bool))


def join_picks(parts: Sequence[Picks]) -> Picks:
    """Return all picks of one run as one, in order; rotations and radii are kept where all parts have them.

    Raises
    ------
    ValueError
        If there are no parts, or they are of several runs.
    """
    if len({part.run for part in parts}) != 1:
        raise ValueError("picks of one run can be joined, and no others")
    rotations = [part.rotations for part in parts if part.rotations is not None]
    radii = [part.radii_angstrom for part in parts if part.radii_angstrom is not None]
    return Picks(
        run=parts[0].run,
        positions_angstrom=np.concatenate([part.positions_angstrom for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        class_names=tuple(name for part in parts for name in part.class_names),
        instance_ids=np.concatenate([part.instance_ids for part in parts]),
        rotations=np.concatenate(rotations) if len(rotations) == len(parts) else None,
        radii_angstrom=np.concatenate(radii) if len(radii) == len(parts) else None,
    )


@dataclass(frozen=True)
class Embeddings:
    """One vector per pick of one run.

    Parameters
    ----------
    run
        Name of the run.
    vectors
        ``(n, d)`` float32, L2-normalised, in the order of the run's picks.
    weights
        Name of the weights that made them; vectors of different weights cannot be compared.
    """

    run: str
    vectors: NDArray[np.float32]
    weights: str
