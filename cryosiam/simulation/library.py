"""The real species that the shipped weights are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryosiam.errors import InputError
from cryosiam.simulation.maps import species_from_map
from cryosiam.simulation.species import Species
from cryosiam.simulation.structures import species_from_structure

STRUCTURES: Final = {
    "apo-ferritin": "6z6u.pdb.gz",
    "cand1-cul1-roc1": "1u6g.pdb.gz",
    "cav-channel": "5gjv.pdb.gz",
    "clpb": "1qvr.pdb.gz",
    "get3": "3h84.pdb.gz",
    "hemagglutinin": "HA_ranked_0.pdb.gz",
    "hsp90": "2cg9.pdb.gz",
    "hsp110-hsp70": "3d2f.pdb.gz",
    "igg": "1igy.cif.gz",
    "norwalk-capsid": "1ihm.pdb.gz",
    "nucleosome": "1kx5.pdb.gz",
    "p97": "3cf3.pdb.gz",
    "proteasome": "3j9i.pdb.gz",
    "ribosome-30S": "4v4r_30S.pdb.gz",
    "rna-polymerase": "1wcm.pdb.gz",
    "rubisco": "1bxn.pdb.gz",
    "satellite-capsid": "2buk.pdb.gz",
    "sobemovirus-capsid": "1f2n.cif.gz",
}
"""Atomic models, by class name."""

MAPS: Final = {
    "beta-galactosidase": ("polnet_10A/1f4a.mrc.gz", 0.85),
    "ribosome": ("polnet_10A/6qzp.mrc.gz", 1.25),
    "ribosome-70S": ("polnet_10A/4v4r.mrc.gz", 1.25),
    "ribosome-50S": ("polnet_10A/4v4r_50S.mrc.gz", 1.25),
    "thyroglobulin": ("polnet_10A/7n4y.mrc.gz", 0.85),
    "virus-like-particle": ("polnet_10A/8tux.mrc.gz", 0.85),
    "proteasome-capped": ("polnet_10A/6utj.mrc.gz", 0.85),
    "atp-synthase": ("polnet_5A/6rd4.mrc.gz", 0.85),
}
"""Density maps and the density of their dense part, by class name."""


def training_species(data_dir: Path | str, voxel_size_angstrom: float = 10.0) -> dict[str, Species]:
    """Load the training species.

    Parameters
    ----------
    data_dir
        Folder that holds ``structures`` and ``maps``.
    voxel_size_angstrom
        Edge of the voxel in Å.

    Returns
    -------
    dict[str, Species]
        26 species by class name, largest first.

    Raises
    ------
    InputError
        If a file is missing or cannot be read.
    """
    data = Path(data_dir)
    species = []
    for name, file in STRUCTURES.items():
        species.append(species_from_structure(_there(data / "structures" / file), name, voxel_size_angstrom))
    for name, (file, bulk) in MAPS.items():
        path = _there(data / "maps" / file)
        species.append(species_from_map(path, name, voxel_size_angstrom, bulk_density=bulk))
    return {s.name: s for s in sorted(species, key=lambda s: -s.volume_voxels)}


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is missing; give the folder that holds structures and maps.")
    return path
