"""A simulated tomogram with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain import MissingWedge, Picks
    from cryosiam.simulation.microscope.series import SimulatedTiltSeries
    from cryosiam.simulation.spec import SimulationSpec


@dataclass(frozen=True)
class Specimen:
    """A specimen and its ground truth; many images may be taken of one. Arrays are ``(z, y, x)``.

    Parameters
    ----------
    voxel_size_angstrom
        Edge of the voxel.
    density
        float32: membranes, filaments and particles: potential above that of ice, in units of bulk protein.
    unlabelled
        float32: what images show besides: fluctuations of the ice, gold, carbon and the slab's uneven faces. An even
        slab of ice projects to a constant and is left out.
    semantic
        uint8 indices of :data:`cryosiam.domain.SEMANTIC_CLASSES`.
    instances
        int32 particle ids, 1 to n.
    scaffold
        uint16 ids of membranes and filaments, 1 to m.
    scaffold_kinds
        Kind of each of those: ``vesicle``, ``irregular``, ``sheet``, ``microtubule``, ``actin``, ``dna``.
    sample_mask
        bool: inside the slab.
    picks
        Centres, species and object -> tomogram rotations of the particles, in the order of their ids; the score is
        the share of the particle that lies inside the volume.
    radii_angstrom
        Radius of each species that was asked for.
    masses_kda
        Mass of each species, where known.
    occupancy
        Share of the free space (in the slab, outside membranes and filaments) that soluble particles fill.
    shortfall
        A sentence that says what of the recipe could not be reached; None if all was.
    """

    voxel_size_angstrom: float
    density: NDArray[np.float32]
    unlabelled: NDArray[np.float32]
    semantic: NDArray[np.uint8]
    instances: NDArray[np.int32]
    scaffold: NDArray[np.uint16]
    scaffold_kinds: tuple[str, ...]
    sample_mask: NDArray[np.bool_]
    picks: Picks
    radii_angstrom: dict[str, float]
    masses_kda: dict[str, float] = field(default_factory=dict)
    occupancy: float = 0.0
    shortfall: str | None = None

    def panoptic(self) -> NDArray[np.int32]:
        """Return one id per object of any class: particles 1 to n, then membranes and filaments from n + 1."""
        offset = np.int32(len(self.picks))
        return np.where(self.scaffold > 0, self.scaffold.astype(np.int32) + offset, self.instances).astype(np.int32)


@dataclass(frozen=True)
class SimulatedTomogram:
    """A simulated tomogram and all that is known of it.

    Parameters
    ----------
    spec
        Recipe with every range drawn.
    seed
        Of everything random.
    specimen
        What is in it.
    noisy
        ``(z, y, x)`` float32 reconstruction, protein dark, zero mean and unit variance.
    wedge
        Tilt range.
    corrected
        The CTF-corrected reconstruction, brought to zero mean and unit variance by itself, where asked for.
    halves
        Reconstructions of the even and the odd frames, where asked for.
    series
        The tilt images; None on the fast path.
    """

    spec: SimulationSpec
    seed: int
    specimen: Specimen
    noisy: NDArray[np.float32]
    wedge: MissingWedge
    corrected: NDArray[np.float32] | None = None
    halves: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    series: SimulatedTiltSeries | None = None

    @property
    def clean(self) -> NDArray[np.float32]:
        """``(z, y, x)`` float32, protein about -1, solvent 0: no CTF, no missing wedge, no noise."""
        return -self.specimen.density
