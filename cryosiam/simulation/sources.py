"""Where the species of a recipe come from: built-in shapes, the local library, or files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.simulation.atoms import assembly_number
from cryosiam.simulation.maps import species_from_map
from cryosiam.simulation.shapes import SHAPE_NAMES, builtin_shape
from cryosiam.simulation.species_cache import SpeciesCache
from cryosiam.simulation.structure_store import StructureStore
from cryosiam.simulation.structures import species_from_structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.simulation.spec import SpeciesSpec
    from cryosiam.simulation.species import Species

BUILTIN: Final = "builtin:"
LIBRARY: Final = "library:"

MODEL_ENDINGS: Final = (".pdb", ".ent", ".cif", ".mmcif", ".pdb1")
MAP_ENDINGS: Final = (".mrc", ".map", ".ccp4", ".rec")
_COMPRESSED: Final = (".gz", ".bz2")
_WORKERS: Final = 2


def load_species(
    spec: SpeciesSpec,
    voxel_size_angstrom: float,
    *,
    recipe_dir: Path | None = None,
    structures_dir: Path | None = None,
    store: StructureStore | None = None,
) -> Species:
    """Load one species of a recipe.

    Parameters
    ----------
    spec
        Its part of the recipe.
    voxel_size_angstrom
        Edge of the voxel in Å.
    recipe_dir, structures_dir
        Folders that a relative path is looked up in, in this order; the current one where both are None.
    store
        Local library; None takes the user's.

    Returns
    -------
    Species
        With the recipe's name, and its radius where the recipe gives one. It is centred on its volume, which is what
        ``membrane_centre_angstrom`` refers to.

    Raises
    ------
    InputError
        If the source does not exist or cannot be read.
    """
    if spec.source.startswith(BUILTIN):
        shape = spec.source.removeprefix(BUILTIN)
        if shape not in SHAPE_NAMES:
            raise InputError(f"species {spec.name}: no built-in shape '{shape}'; there are {', '.join(SHAPE_NAMES)}.")
        species = replace(builtin_shape(shape, voxel_size_angstrom), name=spec.name)
    else:
        file = source_file(spec, recipe_dir, structures_dir, store)
        species = _from_file(file, _hinted(spec, store), voxel_size_angstrom)
    if spec.radius_angstrom is not None:
        species = replace(species, radius_angstrom=spec.radius_angstrom)
    return species


def load_all(
    specs: Sequence[SpeciesSpec],
    voxel_size_angstrom: float,
    *,
    recipe_dir: Path | None = None,
    structures_dir: Path | None = None,
    store: StructureStore | None = None,
    cache: SpeciesCache | None = None,
) -> dict[str, Species]:
    """Load all species of a recipe, each computed once per file, settings and voxel size.

    Parameters
    ----------
    specs
        Their parts of the recipe.
    voxel_size_angstrom, recipe_dir, structures_dir, store
        As for :func:`load_species`.
    cache
        Where results are kept; None takes the user's cache folder.

    Returns
    -------
    dict[str, Species]
        By name, in the order of ``specs``.

    Raises
    ------
    InputError
        If a source does not exist or cannot be read.
    """
    kept = SpeciesCache.of_user() if cache is None else cache

    def load(spec: SpeciesSpec) -> Species:
        folders = {"recipe_dir": recipe_dir, "structures_dir": structures_dir}
        if spec.source.startswith(BUILTIN):
            return load_species(spec, voxel_size_angstrom)
        file = source_file(spec, recipe_dir, structures_dir, store)
        key = kept.key(_hinted(spec, store), file, voxel_size_angstrom)
        return kept.get(key) or kept.put(key, load_species(spec, voxel_size_angstrom, store=store, **folders))

    with ThreadPoolExecutor(_WORKERS) as pool:
        return {species.name: species for species in pool.map(load, specs)}


def source_file(
    spec: SpeciesSpec, recipe_dir: Path | None, structures_dir: Path | None, store: StructureStore | None
) -> Path:
    """Return the file that a species is computed from.

    Raises
    ------
    InputError
        If there is none.
    """
    if spec.source.startswith(LIBRARY):
        return (store or StructureStore.of_user()).file(spec.source.removeprefix(LIBRARY))
    given = Path(spec.source).expanduser()
    folders = [folder for folder in (recipe_dir, structures_dir) if folder is not None] or [Path()]
    candidates = [given] if given.is_absolute() else [folder / given for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    places = " nor ".join(str(candidate) for candidate in candidates)
    raise InputError(
        f"species {spec.name}: there is no {places}; give a file, builtin:NAME or library:NAME, "
        "or the folder that holds it with --structures."
    )


def is_map(path: Path) -> bool | None:
    """Tell by its name whether a file is a density map (True) or an atomic model (False); None if neither."""
    endings = [suffix.lower() for suffix in path.suffixes]
    if endings and endings[-1] in _COMPRESSED:
        endings.pop()
    if endings and endings[-1] in MAP_ENDINGS:
        return True
    return False if (endings and endings[-1] in MODEL_ENDINGS) or assembly_number(path) is not None else None


def _hinted(spec: SpeciesSpec, store: StructureStore | None) -> SpeciesSpec:
    """Return the recipe's part with the library's hints where the recipe itself says nothing."""
    if not spec.source.startswith(LIBRARY):
        return spec
    hints = asdict((store or StructureStore.of_user()).card(spec.source.removeprefix(LIBRARY)).hints)
    return spec.model_copy(update={key: hint for key, hint in hints.items() if key not in spec.model_fields_set})


def _from_file(path: Path, spec: SpeciesSpec, voxel_size_angstrom: float) -> Species:
    kind = is_map(path)
    if kind is None:
        raise InputError(
            f"species {spec.name}: {path.name} is neither an atomic model ({', '.join(MODEL_ENDINGS)}) nor a map "
            f"({', '.join(MAP_ENDINGS)}), plain or .gz; convert it."
        )
    if not kind:
        return species_from_structure(path, spec.name, voxel_size_angstrom, assembly=spec.assembly)
    return species_from_map(
        path,
        spec.name,
        voxel_size_angstrom,
        map_voxel_size_angstrom=spec.map_voxel_size_angstrom,
        inverted=spec.inverted,
        bulk_density=spec.bulk_density,
    )
