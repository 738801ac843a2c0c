"""What ``cryosiam info`` says about a copick or RELION project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.table import Table

from cryosiam.cli.compose import compose, describe_plan
from cryosiam.cli.pick import PickOptions
from cryosiam.cli.tables import console
from cryosiam.domain import Tomogram
from cryosiam.errors import CryoSiamError
from cryosiam.pipeline.progress import QuietReporter
from cryosiam.ports import Source, adapter_class


def describe_project(project: Path, weights: str) -> None:
    """Print the project's objects and runs, what is missing, and what ``pick`` would do.

    Parameters
    ----------
    project
        copick's JSON file, or a ``tomograms.star`` of RELION.
    weights
        Weights that ``pick`` would use.

    Raises
    ------
    CryoSiamError
        If the project file cannot be used at all; what is wrong with single runs is printed.
    """
    output = console()
    kind = "relion" if project.suffix == ".star" else "copick"
    source: Source = adapter_class("source", kind)(project)
    output.print(f"[b]{project}[/]: {_count(len(source.runs()), 'run')}")
    if kind == "copick":
        objects = ", ".join(f"{entry.name} ({entry.label})" for entry in getattr(source, "objects", ()))
        output.print(f"objects: {objects or 'none yet; pick adds those it finds'}")
    output.print(_runs_table(source))
    output.print(f"\n[b]cryosiam pick --{kind} {project}[/] would do:")
    options = PickOptions(copick=project) if kind == "copick" else PickOptions(relion=project)
    for line in _what_pick_would_do(replace(options, weights=weights)):
        output.print(f"  {line}", markup=False)


def _runs_table(source: Source) -> Table:
    table = Table("run", "tomogram", "voxels (z y x)", "voxel size", "contrast", "picks by others", "missing", box=None)
    for run in source.runs():
        try:
            tomogram = source.tomogram(run)
            reference = source.reference_picks(run)
        except CryoSiamError as error:
            table.add_row(run, "-", "-", "-", "-", "-", str(error))
            continue
        table.add_row(
            run,
            tomogram.tomogram_type,
            " ".join(map(str, tomogram.shape)),
            f"{tomogram.voxel_size_angstrom:g} Å",
            tomogram.contrast.value,
            str(len(reference)) if reference else "none",
            ", ".join(_missing(tomogram)) or "nothing",
        )
    return table


def _missing(tomogram: Tomogram) -> list[str]:
    """Return the acquisition facts that the project does not state."""
    facts = {"tilt range": tomogram.wedge, "defocus": tomogram.defocus_um, "hand": tomogram.hand}
    return [name for name, value in facts.items() if value is None]


def _what_pick_would_do(options: PickOptions) -> list[str]:
    try:
        composition = compose(options, "pick")
        planned = composition.runner(QuietReporter()).plan()
    except CryoSiamError as error:
        return [f"stop: {error}"]
    notes = composition.summary.notes if composition.summary else ()
    return [*(describe_plan(item) for item in planned), f"results in {composition.project.out}", *notes]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
