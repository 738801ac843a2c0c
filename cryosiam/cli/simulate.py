"""``cryosiam simulate``: tomograms with complete ground truth, from a recipe. The work is in `simulation_calls`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

DEFAULT_COMMAND = "run"
"""Command meant where a recipe stands in place of a command."""

_HELP_OPTIONS = ("--help", "-h")


class RecipeGroup(TyperGroup):
    """Commands of which one need not be named: ``simulate general`` is ``simulate run general``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command where the first word is none."""
        if args and args[0] not in self.commands and args[0] not in _HELP_OPTIONS:
            args = [DEFAULT_COMMAND, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


app = typer.Typer(
    cls=RecipeGroup,
    help="Simulate tomograms with complete ground truth, as a copick project: "
    "[b]cryosiam simulate RECIPE --out FOLDER[/].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=(
        "[b]Examples[/]\n\n"
        "cryosiam simulate demo --out simulated --runs 2\n\n"
        "cryosiam simulate my-cell.yaml --out simulated --structures structures/ --seed 5\n\n"
        "cryosiam simulate preview my-cell.yaml\n\n"
        "cryosiam simulate run --help"
    ),
)

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="YAML file, or a preset by its name.")]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder of the copick project.")]
Runs = Annotated[int, typer.Option("--runs", metavar="N", min=1, help="How many tomograms.")]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of the first tomogram; the others count on.")
]
Structures = Annotated[
    Path | None,
    typer.Option("--structures", metavar="FOLDER", help="Folder that the recipe's structures are looked for in."),
]
Maps = Annotated[bool, typer.Option("--maps", help="Also write signed distance and boundary maps.")]
NoTiltSeries = Annotated[bool, typer.Option("--no-tilt-series", help="Leave out the tilt series.")]
Fast = Annotated[
    bool, typer.Option("--fast", help="Image by one 3D filter: no tilt series, much quicker, nearly the same noise.")
]
Shape = Annotated[
    tuple[int, int, int] | None,
    typer.Option("--shape", metavar="Z Y X", help="Size in voxels, in place of the recipe's."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make again what is there; refused where others' work would be lost.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")]
Only = Annotated[
    str | None,
    typer.Option("--only", metavar="PARTS", help="Parts, separated by commas: G1,G2, test or train-general:1-20."),
]
Picture = Annotated[
    Path | None,
    typer.Option("--out", metavar="PNG", help="The picture; by default [b]NAME-preview.png[/] in this folder."),
]


@app.command(
    DEFAULT_COMMAND,
    epilog="[b]Examples[/]\n\ncryosiam simulate demo --out simulated --runs 2\n\n"
    "cryosiam simulate my-cell.yaml --out simulated --structures structures/ --shape 100 300 300",
)
def run(
    recipe: Recipe,
    out: Out,
    runs: Runs = 1,
    seed: Seed = 1,
    structures: Structures = None,
    maps: Maps = False,
    no_tilt_series: NoTiltSeries = False,
    fast: Fast = False,
    shape: Shape = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Simulate tomograms by a recipe; [b]run[/] need not be written. Called again, it makes what is missing."""
    from cryosiam.cli.simulation_calls import Choices, simulate_recipe

    choices = Choices(out, structures, maps, not no_tilt_series, overwrite, quiet)
    simulate_recipe(recipe, range(seed, seed + runs), choices, fast=fast, shape=shape)


@app.command(epilog="Example: cryosiam simulate preview my-cell.yaml --structures structures/")
def preview(
    recipe: Recipe,
    out: Picture = None,
    seed: Seed = 1,
    structures: Structures = None,
    fast: Fast = False,
    shape: Shape = None,
) -> None:
    """Draw slices, tilt images and power spectra of a small tomogram by a recipe."""
    from cryosiam.cli.simulation_calls import preview_recipe

    preview_recipe(recipe, out, seed, structures, fast=fast, shape=shape)


@app.command(
    epilog="[b]Examples[/]\n\ncryosiam simulate benchmark --out cb1 --structures structures/ --only test\n\n"
    "cryosiam simulate benchmark --out cb1 --structures structures/ --only G1,train-general:1-20"
)
def benchmark(
    out: Out,
    structures: Structures = None,
    only: Only = None,
    maps: Maps = False,
    no_tilt_series: NoTiltSeries = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make the fixed benchmark CB-1, or a part of it; stopped, it goes on where it was."""
    from cryosiam.cli.simulation_calls import Choices, simulate_benchmark

    simulate_benchmark(only, Choices(out, structures, maps, not no_tilt_series, overwrite, quiet))


@app.command()
def presets() -> None:
    """List the recipes that ship."""
    from cryosiam.cli.simulation_calls import list_presets

    list_presets()


@app.command(epilog="Example: cryosiam simulate schema > recipe.schema.json")
def schema() -> None:
    """Print the JSON Schema of recipes, by which editors complete and check them."""
    import json

    from cryosiam.simulation.spec.schema import simulation_schema

    typer.echo(json.dumps(simulation_schema(), indent=2, sort_keys=True))
