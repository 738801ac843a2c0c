"""Add structures to the local library, from files or from the Protein Data Bank."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.simulation.download import download_structure, is_pdb_id
from cryosiam.simulation.sources import load_species
from cryosiam.simulation.spec import SpeciesSpec
from cryosiam.simulation.structure_store import ReadingHints, StructureStore

if TYPE_CHECKING:
    from cryosiam.simulation.structure_store import StructureCard

DESCRIBED_AT_ANGSTROM: Final = 5.0
"""Voxel size at which radius and symmetry are measured."""


def add_structure(
    source: str,
    *,
    name: str | None = None,
    hints: ReadingHints | None = None,
    overwrite: bool = False,
    base_url: str | None = None,
    store: StructureStore | None = None,
) -> StructureCard:
    """Add a structure to the library; nothing is kept unless a species can be computed from it.

    Parameters
    ----------
    source
        PDB, mmCIF or MRC file, or a PDB id where there is no file of that name.
    name
        Name to keep it by; None takes the file's, or the id.
    hints
        How the file is to be read.
    overwrite
        Replace a structure of that name.
    base_url
        Server to download from.
    store
        Library; None takes the user's.

    Raises
    ------
    InputError
        If the file cannot be read or downloaded, or the name cannot be used.
    ProductExistsError
        If the name is taken.
    """
    library = store or StructureStore.of_user()
    chosen = name if name is not None else default_name(source)
    library.check_free(chosen, overwrite=overwrite)
    file = Path(source).expanduser()
    if file.is_file():
        return _add_file(library, file, chosen, str(file.resolve()), hints or ReadingHints(), overwrite)
    if not is_pdb_id(source):
        raise InputError(f"{source} is neither a file nor a PDB id (a digit and three letters or digits); give one.")
    with tempfile.TemporaryDirectory(prefix="cryosiam-") as folder:
        downloaded, address = download_structure(source, Path(folder), base_url=base_url)
        return _add_file(library, downloaded, chosen, address, hints or ReadingHints(), overwrite)


def default_name(source: str) -> str:
    """Return the name that a file or id is kept by: without folder and endings, underscores made hyphens."""
    name = Path(source).name
    for ending in (".gz", ".bz2"):
        name = name.removesuffix(ending)
    return Path(name).stem.replace("_", "-")


def _add_file(
    library: StructureStore, file: Path, name: str, origin: str, hints: ReadingHints, overwrite: bool
) -> StructureCard:
    spec = SpeciesSpec(
        name=name,
        source=str(file.resolve()),
        assembly=hints.assembly,
        map_voxel_size_angstrom=hints.map_voxel_size_angstrom,
        inverted=hints.inverted,
        bulk_density=hints.bulk_density,
    )
    return library.add(file, load_species(spec, DESCRIBED_AT_ANGSTROM), origin, hints, overwrite=overwrite)
