"""The specimens and scenes a recipe learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryosiam.training.imaged import NOISY, ImagedBatches, Looks
from cryosiam.training.scenes import Scene, make_preset_scenes, make_scenes
from cryosiam.training.specimens import StoredSpecimen, group_spec, make_specimens, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SimulationSpec, SpeciesSpec
    from cryosiam.simulation.species import Species
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.task import Batches


@dataclass(frozen=True)
class SimulatedSource:
    """Patches of specimens that are imaged anew all the time.

    Parameters
    ----------
    specimens, chances
        What is imaged, and how often each is drawn; chances sum to 1.
    looks
        How often tomograms are shown clear or denoised.
    """

    specimens: list[StoredSpecimen]
    chances: NDArray[np.float64]
    looks: Looks = NOISY

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        """Return endless batches; see :class:`cryosiam.training.task.PatchSource`."""
        return ImagedBatches(self.specimens, self.chances, size_zyx, batch, seed, self.looks)


def simulated_source(folder: Path, data: Path, recipe: Recipe, report: Callable[[str], None]) -> SimulatedSource:
    """Return the specimens of a recipe, building those that ``folder`` does not hold yet.

    Parameters
    ----------
    folder
        Where specimens are kept.
    data
        Folder with the structures and maps that the presets name.
    recipe
        Names presets and seeds.
    report
        Told of every specimen that is built.
    """
    load = _SpeciesLoader(data, recipe.voxel_size_angstrom)
    groups = [
        (group, make_specimens(folder, group, recipe.voxel_size_angstrom, load, report)) for group in recipe.specimens
    ]
    return SimulatedSource(*pool(groups), Looks(clear=recipe.clear))


def check_structures(specimens: Path, validation: Path, data: Path, recipe: Recipe) -> None:
    """Refuse structures that are not there, before the first of the specimens is built.

    Parameters
    ----------
    specimens, validation
        Where specimens and held-out scenes are kept; those already there need no structures.
    data
        Folder with the structures and maps that the presets name.
    recipe
        Names presets and seeds.

    Raises
    ------
    InputError
        If a file is missing that something to be built needs.
    """
    from cryosiam.simulation.build import species_wanted
    from cryosiam.simulation.sources import BUILTIN, source_file

    wanted: list[SpeciesSpec] = []
    places = [(specimens, group) for group in recipe.specimens]
    for folder, group in [*places, *((validation, group) for group in recipe.validation.others)]:
        spec = group_spec(group, group.seeds[0], recipe.voxel_size_angstrom)
        if any(not (folder / f"{group.preset}-{seed:05d}").exists() for seed in _all_seeds(group.seeds)):
            wanted += species_wanted(spec)
    if _missing_scenes(validation, recipe):
        wanted += training_species()
    for one in wanted:
        if not one.source.startswith(BUILTIN):
            source_file(one, None, data, None)


def _all_seeds(seeds: tuple[int, int]) -> range:
    return range(seeds[0], seeds[1] + 1)


def _missing_scenes(folder: Path, recipe: Recipe) -> list[int]:
    return [seed for seed in _all_seeds(recipe.validation.seeds) if not (folder / f"{seed:05d}").exists()]


class _SpeciesLoader:
    """Loads the species of a recipe once."""

    def __init__(self, data: Path, voxel_size_angstrom: float) -> None:
        self._data, self._voxel = data, voxel_size_angstrom
        self._loaded: dict[tuple[SpeciesSpec, ...], Mapping[str, Species]] = {}

    def __call__(self, spec: SimulationSpec) -> Mapping[str, Species]:
        from cryosiam.simulation.build import species_wanted
        from cryosiam.simulation.sources import load_all

        wanted = species_wanted(spec)
        if wanted not in self._loaded:
            self._loaded[wanted] = load_all(wanted, self._voxel, structures_dir=self._data)
        return self._loaded[wanted]


def recipe_species(data: Path, recipe: Recipe) -> dict[str, Species]:
    """Return the species of the preset ``training`` by name: structures and maps in ``data``, and built-in shapes."""
    from cryosiam.simulation.sources import load_all

    return load_all(training_species(), recipe.voxel_size_angstrom, structures_dir=data)


def training_species() -> tuple[SpeciesSpec, ...]:
    """Return the recipes of the species that training packs."""
    from cryosiam.simulation.spec import read_spec

    return read_spec("training").specimen.species


def validation_scenes(folder: Path, data: Path, recipe: Recipe) -> list[Scene]:
    """Return the scenes that are held out, simulating those that ``folder`` does not hold yet."""
    species = recipe_species(data, recipe) if _missing_scenes(folder, recipe) else {}
    held_out = recipe.validation
    scenes = make_scenes(folder, _all_seeds(held_out.seeds), held_out.shape_zyx, training_species(), species)
    load = _SpeciesLoader(data, recipe.voxel_size_angstrom)
    for group in held_out.others:
        scenes += make_preset_scenes(folder, group, recipe.voxel_size_angstrom, load)
    return scenes
