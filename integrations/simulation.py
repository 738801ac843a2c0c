"""``cryosiam simulate``: from recipes to runs of a copick project."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.copick.simulated_folder import check_folder, claim_folder, give_up_folder
from cryosiam.integrations.copick.simulated_objects import check_species_names
from cryosiam.integrations.copick.simulated_ownership import refuse_foreign_in_run
from cryosiam.integrations.copick.simulated_project import RunState, WriteOptions, run_state, write_tomogram
from cryosiam.integrations.run_names import check_run_name
from cryosiam.integrations.writable import refuse_read_only

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.species import Species
    from cryosiam.simulation.tomogram import SimulatedTomogram


@dataclass(frozen=True)
class PlannedRun:
    """A run to be simulated.

    Parameters
    ----------
    name
        Of the run.
    seed
        Of everything random.
    spec
        Recipe; it may hold ranges.
    """

    name: str
    seed: int
    spec: SimulationSpec


@dataclass(frozen=True)
class SimulationTarget:
    """Where runs go, and where their structures come from.

    Parameters
    ----------
    folder
        Of the copick project.
    identity
        What tells this project from others, such as its recipe; kept in the folder.
    structures_dir, recipe_dir
        Folders that structures are looked for in.
    options
        What to write.
    overwrite
        Make runs again that are there, where nobody else has worked in them.
    """

    folder: Path
    identity: dict[str, Any]
    structures_dir: Path | None = None
    recipe_dir: Path | None = None
    options: WriteOptions = field(default_factory=WriteOptions)
    overwrite: bool = False


class Display(Protocol):
    """Tells the user about the work."""

    def stage(self, run: str, what: str) -> None:
        """Show what is worked on now."""
        ...

    def note(self, text: str) -> None:
        """Say something that stays."""
        ...

    def warn(self, text: str) -> None:
        """Say what the user should not miss."""
        ...


def simulate_runs(runs: Sequence[PlannedRun], target: SimulationTarget, display: Display) -> int:
    """Simulate the runs that are not there yet, each whole or not at all.

    The project comes into being with its first run: when that cannot be made, nothing is left.

    Parameters
    ----------
    runs
        What to make.
    target
        Where.
    display
        Told of each step.

    Returns
    -------
    int
        How many were made.

    Raises
    ------
    InputError
        If a recipe cannot be carried out, or the folder holds another project.
    ProductExistsError
        If a run of that name is there and is another one, or what would be made anew holds others' work.
    StorageError
        If the folder cannot be written.
    """
    identity = {**target.identity, "products": vars(target.options)}
    check_folder(target.folder, identity, target.overwrite)
    _check_names(runs)
    missing = _missing(runs, target, display)
    if missing:
        refuse_read_only(target.folder, "give another --out")
    was_there = target.folder.exists()
    structures = _Structures(target)
    try:
        for run in missing:
            started = time.monotonic()
            tomogram = _simulate(run, structures, target, display)
            display.stage(run.name, "writing")
            claim_folder(target.folder, identity)
            write_tomogram(target.folder, tomogram, run.name, options=target.options)
            display.note(f"{run.name}: {describe(tomogram)}, {time.monotonic() - started:.0f} s")
            warn_of_shortfall(run.name, tomogram, display)
    except BaseException:
        give_up_folder(target.folder, keep_folder=was_there)
        raise
    return len(missing)


def simulate_one(run: PlannedRun, target: SimulationTarget, display: Display) -> SimulatedTomogram:
    """Simulate a run and write nothing.

    Raises
    ------
    InputError
        If the recipe cannot be carried out.
    """
    return _simulate(run, _Structures(target), target, display)


def describe(tomogram: SimulatedTomogram) -> str:
    """Return size and contents of a tomogram in a few words."""
    specimen = tomogram.specimen
    size = " x ".join(map(str, specimen.semantic.shape))
    return (
        f"{size} voxels of {specimen.voxel_size_angstrom:g} Å, {len(specimen.picks)} particles of "
        f"{len(set(specimen.picks.class_names))} species, {specimen.occupancy:.0%} of the free space filled, "
        f"membranes and filaments: {len(specimen.scaffold_kinds)}"
    )


def warn_of_shortfall(run_name: str, tomogram: SimulatedTomogram, display: Display) -> None:
    """Say what of the recipe could not be reached, if anything."""
    if tomogram.specimen.shortfall is not None:
        display.warn(f"{run_name}: {tomogram.specimen.shortfall}")


class _Structures:
    """Densities of the species of the recipe at hand; the next run mostly has the same."""

    def __init__(self, target: SimulationTarget) -> None:
        self._target = target
        self._loaded: tuple[object, dict[str, Species]] = (None, {})

    def of(self, spec: SimulationSpec) -> dict[str, Species]:
        """Return the species of a recipe.

        Raises
        ------
        InputError
            If a structure cannot be found or read.
        """
        from cryosiam.simulation.build import species_wanted
        from cryosiam.simulation.sources import load_all

        wanted = species_wanted(spec)
        key = (wanted, spec.voxel_size_angstrom)
        if self._loaded[0] != key:
            loaded = load_all(
                wanted,
                spec.voxel_size_angstrom,
                recipe_dir=self._target.recipe_dir,
                structures_dir=self._target.structures_dir,
            )
            self._loaded = (key, loaded)
        return self._loaded[1]


def _simulate(
    run: PlannedRun, structures: _Structures, target: SimulationTarget, display: Display
) -> SimulatedTomogram:
    from cryosiam.simulation.run import simulate

    display.stage(run.name, "structures")
    return simulate(
        run.spec,
        structures.of(run.spec),
        run.seed,
        recipe_dir=target.recipe_dir,
        progress=lambda what: display.stage(run.name, what),
    )


def _check_names(runs: Sequence[PlannedRun]) -> None:
    for run in runs:
        check_run_name(run.name, "the recipe's name")
        check_species_names({one.name: 0.0 for one in run.spec.specimen.species})


def _missing(runs: Sequence[PlannedRun], target: SimulationTarget, display: Display) -> list[PlannedRun]:
    """Return the runs to be made, and say which are there."""
    missing = []
    for run in runs:
        state = run_state(target.folder, run.name, run.spec, run.seed, target.options)
        if state is RunState.OTHER and not target.overwrite:
            raise ProductExistsError(
                f"run '{run.name}' of {target.folder} is there and differs from what this recipe makes; "
                "give --overwrite to make it again, or another --out"
            )
        if state is RunState.COMPLETE and not target.overwrite:
            display.note(f"{run.name}: there already")
            continue
        refuse_foreign_in_run(target.folder, run.name)
        missing.append(run)
    return missing


def check_structures_dir(folder: Path | None) -> None:
    """Refuse a folder of structures that is not there.

    Raises
    ------
    InputError
        If it is not.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the folder that holds the structures with --structures")
