"""`cryosiam train`: make the shipped weights from simulated tomograms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Train weights from simulated tomograms, by a recipe.",
    no_args_is_help=True,
)

RecipeOption = Annotated[str, typer.Option("--recipe", help="Recipe that ships ('light'), or a YAML file.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder with 'structures' and 'maps' to simulate from.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for scenes, checkpoints and weights.")]


@app.command(epilog="Example: cryosiam train dense --data structures --out runs/light")
def dense(data: DataOption, out: OutOption, recipe: RecipeOption = "light") -> None:
    """Train the dense network (denoise, sample, segment, instances); goes on from its last checkpoint."""
    from cryosiam.training.data import recipe_scenes, recipe_species
    from cryosiam.training.dense import train_dense
    from cryosiam.training.export import export_dense
    from cryosiam.training.recipe import read_recipe

    plan = read_recipe(recipe)
    train_scenes, validation_scenes = recipe_scenes(out / "scenes", data, plan)
    typer.echo(f"{len(train_scenes)} scenes to learn from, {len(validation_scenes)} to validate on")
    network, hours = train_dense(plan, train_scenes, out / "dense", _report(plan.dense.steps))
    radii = {name: species.radius_angstrom for name, species in recipe_species(data, plan).items()}
    card = export_dense(out / "weights", network, plan, validation_scenes, radii, hours)
    for name, value in card.accuracy.items():
        typer.echo(f"{name}: {value:.3f}")
    typer.echo(f"weights written to {out / 'weights'}")


@app.command(epilog="Example: cryosiam train subtomogram --data structures --out runs/light")
def subtomogram(data: DataOption, out: OutOption, recipe: RecipeOption = "light") -> None:
    """Train the subtomogram network on instances the dense weights in OUT find; run `train dense` first."""
    from cryosiam.training.data import recipe_scenes
    from cryosiam.training.export import export_subtomogram
    from cryosiam.training.recipe import read_recipe
    from cryosiam.training.subtomogram import collect_crops, train_subtomogram

    plan = read_recipe(recipe)
    train_scenes, validation_scenes = recipe_scenes(out / "scenes", data, plan)
    crops = collect_crops(train_scenes, out / "weights", out / "crops")
    held_out = collect_crops(validation_scenes, out / "weights", out / "crops")
    typer.echo(f"{len(crops)} particles to learn from, {len(held_out)} to validate on")
    network, hours = train_subtomogram(plan, crops, out / "subtomogram", _report)
    card = export_subtomogram(out / "weights", network, plan, crops, held_out, hours)
    for name, value in card.accuracy.items():
        typer.echo(f"{name}: {value:.3f}")
    typer.echo(f"weights written to {out / 'weights'}")


class _report:
    """Prints one line per checkpoint: step, time left and running losses."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, step: int, losses: dict[str, float], seconds: float) -> None:
        left = seconds / step * (self.steps - step) / 60
        values = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        typer.echo(f"step {step}/{self.steps}, {left:.0f} min left: {values}")
