"""Where particles were put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Placement:
    """Particles put into a specimen, in the order of their ids in the canvas.

    Parameters
    ----------
    indices_zyx
        ``(n, 3)`` fractional voxel indices of the centres.
    rotations
        ``(n, 3, 3)`` object -> tomogram, acting on (x, y, z).
    names
        Species name of each.
    visible
        ``(n,)`` share of each particle's mask that lies inside the volume, 1 for most.
    """

    indices_zyx: NDArray[np.float64]
    rotations: NDArray[np.float64]
    names: tuple[str, ...]
    visible: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def empty(cls) -> Placement:
        """Return a placement of nothing."""
        return cls(np.zeros((0, 3)), np.zeros((0, 3, 3)), (), np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[Placement]) -> Placement:
        """Return several placements one after the other."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.indices_zyx for part in parts]),
            np.concatenate([part.rotations for part in parts]),
            tuple(name for part in parts for name in part.names),
            np.concatenate([part.visible for part in parts]),
        )
