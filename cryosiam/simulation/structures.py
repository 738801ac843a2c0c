"""Densities from atomic models: electron scattering minus the solvent that the molecule displaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.simulation.species import SMOOTHING_VOXELS, Species, species_from_density

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

POTENTIAL_PER_SCATTERING: Final = 47.878
"""Volt Å³ per Å of electron scattering factor at zero angle (h^2 / 2 pi m e)."""

ICE_POTENTIAL_VOLT: Final = 4.53
"""Mean inner potential of vitreous ice."""

PROTEIN_CONTRAST_VOLT: Final = 3.4
"""Mean inner potential of protein above that of ice: the unit of all densities here."""

SCATTERING_ANGSTROM: Final = {"C": 2.51, "N": 2.21, "O": 1.98, "P": 5.49, "S": 5.16, "H": 0.53, "Fe": 7.17}
"""Electron scattering factors at zero angle (Doyle and Turner 1968)."""

HYDROGENS_PER_ATOM: Final = {False: 1.0, True: 0.52}
VOLUME_PER_ATOM_A3: Final = {False: 17.4, True: 13.7}
"""Per heavy atom of protein (False) and nucleic acid (True), from partial specific volumes 0.74 and 0.55 cm³/g."""

_FINE_GRID_ANGSTROM: Final = 2.5


def species_from_structure(
    path: Path | str, name: str, voxel_size_angstrom: float, *, biological_assembly: bool = True
) -> Species:
    """Compute a species from a PDB or mmCIF file, plain or gzipped.

    Parameters
    ----------
    path
        Atomic model. Water is left out; hydrogens are implied by the heavy atoms.
    name
        Class name, without underscores.
    voxel_size_angstrom
        Voxel size wanted; the density is limited to it by a Gaussian.
    biological_assembly
        Build the file's first assembly where it has one, as crystal structures hold only part of the complex.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no atom.
    """
    import gemmi

    try:
        structure = gemmi.read_structure(str(path))
    except (OSError, ValueError, RuntimeError) as problem:
        raise InputError(f"{path} cannot be read as a structure ({problem}); give a PDB or mmCIF file.") from problem
    if len(structure) == 0:
        raise InputError(f"{path} holds no atomic model; give a PDB or mmCIF file with atoms.")
    structure.setup_entities()
    model = structure[0]
    if biological_assembly and structure.assemblies:
        model = gemmi.make_assembly(structure.assemblies[0], model, gemmi.HowToNameCopiedChain.Dup)
    positions, contrasts = _atoms(model)
    if len(positions) == 0:
        raise InputError(f"{path} holds no atom but water; give a structure with protein or nucleic acid.")
    density = _density_of_atoms(positions, contrasts, voxel_size_angstrom)
    return species_from_density(name, density, voxel_size_angstrom)


def _atoms(model: gemmi.Model) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions (``(n, 3)`` x, y, z in Å) and contrasts over ice (``(n,)`` V Å³) of the heavy atoms."""
    import gemmi

    positions, contrasts = [], []
    kinds: dict[str, tuple[bool, bool]] = {}
    for chain in model:
        for residue in chain:
            if residue.name not in kinds:
                info = gemmi.find_tabulated_residue(residue.name)
                kinds[residue.name] = (info.is_water(), info.is_nucleic_acid())
            water, nucleic = kinds[residue.name]
            if water:
                continue
            solvent = ICE_POTENTIAL_VOLT * VOLUME_PER_ATOM_A3[nucleic]
            hydrogens = HYDROGENS_PER_ATOM[nucleic] * SCATTERING_ANGSTROM["H"]
            for atom in residue:
                element = atom.element.name
                if element in ("H", "D"):
                    continue
                scattering = SCATTERING_ANGSTROM.get(element, 2.5) + hydrogens
                positions.append((atom.pos.x, atom.pos.y, atom.pos.z))
                contrasts.append(atom.occ * (POTENTIAL_PER_SCATTERING * scattering - solvent))
    return np.array(positions, np.float64).reshape(-1, 3), np.array(contrasts, np.float64)


def _density_of_atoms(
    positions: NDArray[np.float64], contrasts: NDArray[np.float64], voxel_size_angstrom: float
) -> NDArray[np.float64]:
    """Spread atoms on a fine grid, low-pass to the voxel size, and sample every voxel; bulk protein is 1."""
    fine = max(1, round(voxel_size_angstrom / _FINE_GRID_ANGSTROM))
    step = voxel_size_angstrom / fine
    low = positions.min(0) - 3 * voxel_size_angstrom
    size = np.ceil((positions.max(0) + 3 * voxel_size_angstrom - low) / voxel_size_angstrom).astype(int) * fine
    scaled = (positions - low) / step
    base = np.floor(scaled).astype(np.int64)
    fraction = scaled - base
    grid = np.zeros(size.prod(), np.float64)
    for corner in np.ndindex(2, 2, 2):
        c = np.array(corner)
        weights = np.where(c, fraction, 1 - fraction).prod(1) * contrasts
        cell = base + c
        # x runs fastest, so that the grid is (z, y, x).
        flat = (cell[:, 2] * size[1] + cell[:, 1]) * size[0] + cell[:, 0]
        grid += np.bincount(flat, weights, minlength=grid.size)
    smooth = ndimage.gaussian_filter(grid.reshape(size[::-1]), SMOOTHING_VOXELS * fine)
    sampled: NDArray[np.float64] = smooth[::fine, ::fine, ::fine] / (step**3 * PROTEIN_CONTRAST_VOLT)
    return sampled
