"""The volume that a specimen is drawn on, with its labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASS_INDEX: Final = {name: index for index, name in enumerate(SEMANTIC_CLASSES)}
"""Index of each semantic class, by name."""


@dataclass
class Canvas:
    """Arrays that membranes, filaments and particles are drawn into, in this order; all ``(z, y, x)``.

    Parameters
    ----------
    voxel_size_angstrom
        Edge of the voxel.
    sample
        bool: inside the slab.
    density
        float32: potential above that of ice, in units of bulk protein.
    semantic
        uint8 indices of :data:`cryosiam.domain.SEMANTIC_CLASSES`. A voxel other than 0 is taken.
    instances
        int32 particle ids from 1, in the order of placement.
    scaffold
        uint16 ids from 1 of membranes and filaments.
    scaffold_kinds
        Kind of each scaffold id, in order: ``vesicle``, ``irregular``, ``sheet``, ``microtubule``, ``actin``, ``dna``.
    """

    voxel_size_angstrom: float
    sample: NDArray[np.bool_]
    density: NDArray[np.float32]
    semantic: NDArray[np.uint8]
    instances: NDArray[np.int32]
    scaffold: NDArray[np.uint16]
    scaffold_kinds: list[str] = field(default_factory=list)

    @classmethod
    def of_sample(cls, sample: NDArray[np.bool_], voxel_size_angstrom: float) -> Canvas:
        """Return an empty canvas for a slab."""
        return cls(
            voxel_size_angstrom,
            sample,
            np.zeros(sample.shape, np.float32),
            np.zeros(sample.shape, np.uint8),
            np.zeros(sample.shape, np.int32),
            np.zeros(sample.shape, np.uint16),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        z, y, x = self.sample.shape
        return z, y, x

    def new_scaffold_id(self, kind: str) -> int:
        """Register a membrane or filament and return its id.

        Raises
        ------
        InputError
            If all ids of 16 bits are taken.
        """
        if len(self.scaffold_kinds) == np.iinfo(np.uint16).max:
            raise InputError(
                f"the recipe makes more than {len(self.scaffold_kinds)} membranes and filaments, which cannot be "
                "labelled one by one; ask for fewer"
            )
        self.scaffold_kinds.append(kind)
        return len(self.scaffold_kinds)
