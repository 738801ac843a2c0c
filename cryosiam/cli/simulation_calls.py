"""What the commands of ``cryosiam simulate`` do."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
import yaml

from cryosiam.errors import InputError
from cryosiam.integrations.copick.simulated_project import WriteOptions, project_file
from cryosiam.integrations.simulation import (
    Display,
    PlannedRun,
    SimulationTarget,
    check_structures_dir,
    describe,
    simulate_one,
    simulate_runs,
    warn_of_shortfall,
)
from cryosiam.simulation.spec import SimulationSpec, parse_spec, read_spec

if TYPE_CHECKING:
    from rich.status import Status

PREVIEW_SIZE = 192
"""A preview is at most so wide, in voxels; its depth is the recipe's, so that the slab fits."""


@dataclass(frozen=True)
class Choices:
    """Options that the commands which write a project share."""

    out: Path
    structures: Path | None
    maps: bool
    tilt_series: bool
    overwrite: bool
    quiet: bool


def simulate_recipe(
    recipe: str, seeds: Iterable[int], choices: Choices, fast: bool, shape: tuple[int, int, int] | None
) -> None:
    """Simulate one run for each seed.

    Raises
    ------
    CryoSiamError
        If the recipe, the structures or the folder cannot be used.
    """
    spec = changed(read_spec(recipe), recipe, fast, shape)
    runs = [PlannedRun(f"{spec.name}-{seed:04d}", seed, spec) for seed in seeds]
    _make(runs, _target(choices, {"recipe": spec.model_dump(mode="json")}, recipe), choices.quiet)


def simulate_benchmark(only: str | None, choices: Choices) -> None:
    """Make the benchmark CB-1 or parts of it.

    Raises
    ------
    CryoSiamError
        If a part does not exist, or the structures or the folder cannot be used.
    """
    from cryosiam.simulation.benchmark import choose, tomograms

    wanted = tomograms() if only is None else choose([word.strip() for word in only.split(",") if word.strip()])
    if not wanted:
        raise InputError(f"--only '{only}' names no part of the benchmark; leave it out, or give a name such as G1")
    runs = [PlannedRun(one.name, one.seed, one.spec) for one in wanted]
    _make(runs, _target(choices, {"benchmark": "CB-1"}, None), choices.quiet)


def preview_recipe(
    recipe: str,
    out: Path | None,
    seed: int,
    structures: Path | None,
    fast: bool,
    shape: tuple[int, int, int] | None,
) -> None:
    """Simulate a small tomogram and draw it.

    Raises
    ------
    CryoSiamError
        If the recipe or the structures cannot be used, or the picture cannot be written.
    """
    from cryosiam.pipeline.storage import storage_errors
    from cryosiam.report.simulation_preview import write_simulation_preview

    asked = read_spec(recipe)
    depth, height, width = asked.shape_zyx
    small = shape or (depth, min(height, PREVIEW_SIZE), min(width, PREVIEW_SIZE))
    spec = changed(asked, recipe, fast, small)
    check_structures_dir(structures)
    path = out or Path(f"{spec.name}-preview.png")
    if path.suffix.lower() != ".png":
        raise InputError(f"the picture {path} must be a .png file; give another --out")
    if not path.absolute().parent.is_dir():
        raise InputError(
            f"there is no folder {path.parent} for the picture {path.name}; make it, or give another --out"
        )
    target = SimulationTarget(path, {}, structures, _recipe_dir(recipe))
    with _display(quiet=False) as display:
        run = PlannedRun(f"{spec.name}-{seed:04d}", seed, spec)
        tomogram = simulate_one(run, target, display)
        display.stage(run.name, "drawing")
        with storage_errors("cannot write"):
            write_simulation_preview(path, tomogram)
        display.note(f"{path}: {describe(tomogram)}")
        warn_of_shortfall(run.name, tomogram, display)


def list_presets() -> None:
    """Print a table of the recipes that ship."""
    from rich.table import Table

    from cryosiam.cli.tables import console
    from cryosiam.simulation.presets import preset_names, preset_text

    table = Table("preset", "voxels (z y x)", "voxel size", "species", "about", box=None, pad_edge=False)
    for name in preset_names():
        text = preset_text(name)
        spec = parse_spec(text, f"preset {name}")
        about = text.partition("\n")[0].lstrip("# ") if text.startswith("#") else ""
        shape = " ".join(map(str, spec.shape_zyx))
        table.add_row(name, shape, f"{spec.voxel_size_angstrom:g} Å", str(len(spec.specimen.species)), about)
    console().print(table)


def changed(spec: SimulationSpec, origin: str, fast: bool, shape: tuple[int, int, int] | None) -> SimulationSpec:
    """Return a recipe with the options of the command line put in, checked anew.

    Raises
    ------
    InputError
        If the recipe is not possible with them.
    """
    content = spec.model_dump(mode="json")
    if fast:
        content["path"] = "fast"
    if shape is not None:
        content["shape_zyx"] = list(shape)
    return parse_spec(yaml.safe_dump(content), origin)


def _target(choices: Choices, identity: dict[str, object], recipe: str | None) -> SimulationTarget:
    check_structures_dir(choices.structures)
    options = WriteOptions(maps=choices.maps, tilt_series=choices.tilt_series)
    recipe_dir = None if recipe is None else _recipe_dir(recipe)
    return SimulationTarget(choices.out, identity, choices.structures, recipe_dir, options, choices.overwrite)


def _recipe_dir(recipe: str) -> Path | None:
    """Return the folder of a recipe that is a file."""
    path = Path(recipe)
    return path.resolve().parent if path.is_file() else None


def _make(runs: list[PlannedRun], target: SimulationTarget, quiet: bool) -> None:
    with _display(quiet) as display:
        made = simulate_runs(runs, target, display)
        display.note(f"{project_file(target.folder)}: {made} made, {len(runs) - made} there already")


class _Lines:
    """Notes only, for pipes and log files."""

    def stage(self, run: str, what: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Write a line."""
        typer.echo(text)

    def warn(self, text: str) -> None:
        """Write a line to standard error."""
        typer.echo(f"warning: {text}", err=True)


class _Silence(_Lines):
    """Warnings only."""

    def note(self, text: str) -> None:
        """Say nothing."""


class _Terminal:
    """A line that shows what is worked on, with notes scrolling above it."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def stage(self, run: str, what: str) -> None:
        """Renew the line."""
        self._status.update(f"[b]{run}[/]: {what}")

    def note(self, text: str) -> None:
        """Print above the line."""
        self._status.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print above the line, marked as a warning."""
        self._status.console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _display(quiet: bool) -> Iterator[Display]:
    """Give the display that suits standard output."""
    if quiet:
        yield _Silence()
    elif sys.stdout.isatty():
        from rich.console import Console

        with Console().status("beginning") as status:
            yield _Terminal(status)
    else:
        yield _Lines()
