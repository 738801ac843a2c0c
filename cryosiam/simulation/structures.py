"""Species from atomic models: electron scattering minus the solvent that the molecule displaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.simulation.atoms import FIRST_ASSEMBLY, AtomicModel, read_atoms
from cryosiam.simulation.scattering import ICE_POTENTIAL_VOLT, PROTEIN_CONTRAST_VOLT, potential_of_atoms
from cryosiam.simulation.species import Species, check_name, species_from_centred
from cryosiam.simulation.symmetry import point_group

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ICE_POTENTIAL_VOLT", "PROTEIN_CONTRAST_VOLT", "density_of_model", "species_from_structure"]

B_FACTOR_A2: Final = 50.0
"""Of all atoms: the files' own come from crystals, or were never refined."""

_ROOM_VOXELS: Final = 3
_MAX_EDGE_VOXELS: Final = 401


def species_from_structure(
    path: Path | str, name: str, voxel_size_angstrom: float, *, assembly: str = FIRST_ASSEMBLY
) -> Species:
    """Compute a species from a PDB or mmCIF file, plain or gzipped.

    Parameters
    ----------
    path
        Atomic model. Water is left out; hydrogens are implied by the heavy atoms of residues that show none.
    name
        Class name, without underscores.
    voxel_size_angstrom
        Voxel size wanted; the density is limited to it by a Gaussian.
    assembly
        Biological assembly by name, ``first`` (crystal structures often hold only part of a complex) or ``none``.

    Raises
    ------
    InputError
        If the file cannot be read, holds no atom, or one of an unknown element, or lacks the assembly.
    """
    check_name(name)
    model = read_atoms(path, assembly)
    density = density_of_model(model, voxel_size_angstrom, str(path))
    try:
        return species_from_centred(name, density, voxel_size_angstrom, model.mass_kda, point_group(model.chains))
    except ValueError as problem:
        raise InputError(f"{path} gives no particle at {voxel_size_angstrom:g} Å ({problem}).") from None


def density_of_model(model: AtomicModel, voxel_size_angstrom: float, origin: str) -> NDArray[np.float32]:
    """Compute the density of atoms in an odd cube about the centre of their volume.

    Parameters
    ----------
    model
        Atoms.
    voxel_size_angstrom
        Voxel wanted.
    origin
        Named in errors, usually the file.

    Returns
    -------
    NDArray
        ``(n, n, n)`` float32 (z, y, x), bulk protein = 1, with room for every orientation.

    Raises
    ------
    InputError
        If the atoms reach too far for voxels so small.
    """
    volumes = model.volumes_a3
    centred = model.positions - (volumes @ model.positions) / volumes.sum()
    reach = float(np.sqrt((centred**2).sum(1).max()))
    edge = 2 * (int(np.ceil(reach / voxel_size_angstrom)) + _ROOM_VOXELS) + 1
    if edge > _MAX_EDGE_VOXELS:
        raise InputError(
            f"{origin} reaches {reach:.0f} Å from its centre, too far for voxels of {voxel_size_angstrom:g} Å; "
            f"ask for {np.ceil(20 * reach / (_MAX_EDGE_VOXELS - 2 * _ROOM_VOXELS - 1)) / 10:.1f} Å or more."
        )
    parts = []
    for index, kind in enumerate(model.kinds):
        chosen = model.kind_of_atom == index
        if chosen.any():
            parts.append((kind, centred[chosen], model.occupancies[chosen]))
    return potential_of_atoms(parts, edge, voxel_size_angstrom, B_FACTOR_A2)
