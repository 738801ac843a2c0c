"""``cryosiam weights``: list, show, check and copy weights, and import those the authors published."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Weights of the networks: [b]list[/], [b]show[/], [b]verify[/], [b]export[/], [b]import[/].",
    epilog=(
        "[b]Examples[/]\n\n"
        "cryosiam weights show light\n\n"
        "cryosiam weights import cryosiam_denoising.ckpt --task denoise --out authors/\n\n"
        "cryosiam denoise --mrc tomogram.mrc --weights authors/"
    ),
)

Spec = Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="Name of the weights, or the folder they are in.")]
Half = Annotated[bool, typer.Option("--half", help="Half precision: half the size, nearly the same answers.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace weights of the same task that are there.")]


class TaskChoice(StrEnum):
    """Values of ``--task``."""

    PRETRAINING = "pretraining"
    DENOISE = "denoise"
    LAMELLA = "lamella"
    SEMANTIC = "semantic"
    INSTANCE = "instance"
    SIMSIAM = "simsiam"
    CONTRASTIVE = "contrastive"


class EmbeddingChoice(StrEnum):
    """Values of ``--embedding``."""

    PROJECTOR = "projector"
    PREDICTOR = "predictor"


class CropsChoice(StrEnum):
    """Values of ``--crops``."""

    HULL = "hull"
    STRICT = "strict"
    NONE = "none"


@app.command("list", epilog="[b]Examples[/]\n\ncryosiam weights list\n\ncryosiam weights list runs/light/weights")
def list_weights(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Folders to list beside those with a name.")
    ] = None,
) -> None:
    """List the weights that have a name, and those in the folders given."""
    from cryosiam.cli.weights_tables import print_list

    print_list(folders or [])


@app.command("show", epilog="[b]Examples[/]\n\ncryosiam weights show light")
def show(spec: Spec) -> None:
    """Say what weights are for, what they learnt from and how well they do."""
    from cryosiam.cli.weights_tables import print_cards

    print_cards(spec)


@app.command("verify", epilog="[b]Examples[/]\n\ncryosiam weights verify light")
def verify(spec: Spec) -> None:
    """Check cards, digests, tensors and numbers of weights; exit with 1 where something is wrong."""
    from cryosiam.errors import WeightsError
    from cryosiam.weights.verify import verify_weights

    verdicts = verify_weights(spec)
    for verdict in verdicts:
        if verdict.fault is None:
            typer.echo(f"{verdict.stem}: good ({', '.join(verdict.checks)})")
    faults = [verdict.fault for verdict in verdicts if verdict.fault is not None]
    for fault in faults[:-1]:
        typer.echo(f"error: {fault}", err=True)
    if faults:
        raise WeightsError(faults[-1])


@app.command("export", epilog="[b]Examples[/]\n\ncryosiam weights export light copy/")
def export(
    spec: Spec,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the copy goes.")],
    half: Half = False,
    overwrite: Overwrite = False,
) -> None:
    """Copy weights whole, with their cards."""
    from cryosiam.weights.export import export_weights

    cards = export_weights(spec, folder, half=half, overwrite=overwrite)
    typer.echo(f"copied {', '.join(card.stem for card in cards)} to {folder}")


@app.command(
    "import",
    epilog=(
        "[b]Examples[/]\n\n"
        "cryosiam weights import cryosiam_denoising.ckpt --task denoise --out authors/\n\n"
        "cryosiam weights import cryosiam_instance.ckpt --task instance --out authors/"
    ),
)
def import_weights(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Lightning checkpoint (.ckpt).")],
    task: Annotated[TaskChoice, typer.Option(help="What the checkpoint is for.", case_sensitive=False)],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the weights; the file's if left out.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where they go; a folder takes several tasks. By default among your own, by name."
        ),
    ] = None,
    voxel_size: Annotated[
        float | None, typer.Option(metavar="Å", min=0.1, help="Voxel size it was trained at; 6.8 if left out.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Semantic classes in the order of the channels, background first."),
    ] = None,
    embedding: Annotated[
        EmbeddingChoice | None,
        typer.Option(help="Output that is the embedding; the predictor's after contrastive training, if left out."),
    ] = None,
    crops: Annotated[
        CropsChoice | None, typer.Option(help="How particles are cut out of their surroundings; hull if left out.")
    ] = None,
    half: Half = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn a checkpoint that the authors of CryoSiam published into weights; nothing in it is ever run as code."""
    from cryosiam.weights import user_weights
    from cryosiam.weights.importing import ImportWishes, import_checkpoint
    from cryosiam.weights.upstream import UpstreamTask

    wishes = ImportWishes(
        name=name,
        voxel_size_angstrom=voxel_size,
        classes=tuple(part.strip() for part in classes.split(",")) if classes else None,
        embedding=embedding.value if embedding else None,
        crops=crops.value if crops else None,
        half=half,
    )
    folder = out or user_weights() / (name or checkpoint.stem)
    card = import_checkpoint(checkpoint, UpstreamTask(task.value), folder, wishes, overwrite=overwrite)
    typer.echo(f"wrote {card.stem} weights '{card.name}' to {folder}")
    for assumption in card.assumptions:
        typer.echo(f"taken to be so: {assumption}")
