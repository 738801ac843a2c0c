"""Point group of a complex, from rotations that lay its chains upon each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SHORTEST_CHAIN: Final = 20
_ALIKE_SHARE: Final = 0.7
_MISS_ANGSTROM: Final = 4.0
_NEAR_ANGSTROM: Final = 15.0
_TRIMMING_ROUNDS: Final = 3
_RESIDUES_COMPARED: Final = 60
_FEWEST_COMMON: Final = 10
_CORE_SHARE: Final = 0.7
_SAME_AXIS_COSINE: Final = 0.99
_CUBIC: Final = {(12, 3): "T", (24, 4): "O", (60, 5): "I"}
UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class Chain:
    """Trace of a protein or nucleic acid chain.

    Parameters
    ----------
    numbers
        ``(n,)`` residue numbers.
    names
        Residue names.
    trace
        ``(n, 3)`` one atom per residue (CA, C4'), x, y, z in Å.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]
    trace: NDArray[np.float64]

    def is_like(self, other: Chain) -> bool:
        """Tell whether two chains are copies of one."""
        if self.names == other.names and np.array_equal(self.numbers, other.numbers):
            return True
        _, mine, theirs = np.intersect1d(self.numbers, other.numbers, return_indices=True)
        alike = sum(self.names[a] == other.names[b] for a, b in zip(mine, theirs, strict=True))
        return bool(alike >= max(3.0, _ALIKE_SHARE * max(len(self.names), len(other.names))))


def point_group(chains: Sequence[Chain]) -> str:
    """Find the point group of a complex.

    Parameters
    ----------
    chains
        All chains; those under 20 residues are left out.

    Returns
    -------
    str
        ``C1``, ``C2``, ``D7``, ``T``, ``O``, ``I`` and the like; ``unknown`` without chains, or if the rotations found
        form no point group.
    """
    long = [chain for chain in chains if len(chain.names) >= _SHORTEST_CHAIN]
    if not long:
        return UNKNOWN
    kinds = [_aligned(kind) for kind in _kinds(long)]
    if min(kind.shape[1] for kind in kinds) < _FEWEST_COMMON:
        return UNKNOWN
    fewest = min(kinds, key=len)
    rotations = []
    for copy in fewest:
        rotation, shift = _superposition(fewest[0], copy)
        if all(_maps_onto_itself(kind, rotation, shift) for kind in kinds):
            rotations.append(rotation)
    return _name(np.array(rotations))


def _kinds(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Group the copies of each chain."""
    kinds: list[list[Chain]] = []
    for chain in chains:
        for kind in kinds:
            if kind[0].is_like(chain):
                kind.append(chain)
                break
        else:
            kinds.append([chain])
    return kinds


def _aligned(kind: Sequence[Chain]) -> NDArray[np.float64]:
    """Return the traces (copies, residues, 3) of residues that all copies show, evenly chosen along the chain."""
    common = kind[0].numbers
    for chain in kind[1:]:
        if chain.numbers is not common:
            common = np.intersect1d(common, chain.numbers)
    common = common[:: max(1, len(common) // _RESIDUES_COMPARED)]
    return np.array([chain.trace[np.unique(chain.numbers, return_index=True)[1]][_in(chain, common)] for chain in kind])


def _in(chain: Chain, common: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(np.unique(chain.numbers), common)


def _superposition(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotation and shift that lay the rigid core of ``a`` upon that of ``b``; loose ends have no say."""
    core = np.ones(len(a), bool)
    matrix, shift = np.eye(3), np.zeros(3)
    for _ in range(_TRIMMING_ROUNDS):
        x, y = a[core], b[core]
        matrix = Rotation.align_vectors(y - y.mean(0), x - x.mean(0))[0].as_matrix()
        shift = y.mean(0) - matrix @ x.mean(0)
        miss = np.linalg.norm(a @ matrix.T + shift - b, axis=1)
        core = miss <= max(float(np.quantile(miss, _CORE_SHARE)), _MISS_ANGSTROM / 2)
    return matrix, shift


def _maps_onto_itself(kind: NDArray[np.float64], rotation: NDArray[np.float64], shift: NDArray[np.float64]) -> bool:
    """Tell whether each copy comes to lie on another, by the median over its residues."""
    # Loose ends move a copy's centre, but not far: most wrong rotations are told by the centres alone.
    centres = kind.mean(1)
    distance, target = cKDTree(centres).query(centres @ rotation.T + shift)
    if np.max(distance) > _NEAR_ANGSTROM or len(np.unique(target)) < len(kind):
        return False
    miss = np.median(np.linalg.norm(kind @ rotation.T + shift - kind[target], axis=2), axis=1)
    return bool(miss.max() < _MISS_ANGSTROM)


def _name(rotations: NDArray[np.float64]) -> str:
    """Name the group of rotations (identity included)."""
    order = len(rotations)
    if order == 1:
        return "C1"
    vectors = Rotation.from_matrix(rotations).as_rotvec()
    lengths = np.linalg.norm(vectors, axis=1)
    axes = vectors[lengths > 0.1] / lengths[lengths > 0.1, None]
    fold = int((np.abs(axes @ axes.T) > _SAME_AXIS_COSINE).sum(1).max()) + 1
    if fold == order:
        return f"C{order}"
    if order == 2 * fold:
        return f"D{fold}"
    return _CUBIC.get((order, fold), UNKNOWN)
