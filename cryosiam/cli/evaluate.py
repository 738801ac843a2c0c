"""``cryosiam evaluate``: results against truth. The work is in `evaluation_calls`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL, WORK_PANEL, Quiet, Runs

HELP = "Compare results with the truth of a project: segmentation, instances, picks, scores, names, denoising."

EPILOG = (
    "[b]Examples[/]\n\n"
    "cryosiam evaluate --copick simulated/project.json\n\n"
    "cryosiam evaluate --copick project.json --truth curator/1 --picks cryosiam/2 -r TS_01 --out evaluation/"
)


@dataclass(frozen=True)
class EvaluateOptions:
    """What the user asked for; see the command's options."""

    copick: Path
    runs: list[str] | None
    truth: str
    picks: str
    hit_fraction: float
    semantic: str
    instances: str
    clean: str
    denoised: str | None
    embeddings: Path | None
    out: Path | None
    quiet: bool


def evaluate(
    copick: Annotated[
        Path,
        typer.Option("--copick", "-c", metavar="JSON", help="copick project file.", rich_help_panel=INPUT_PANEL),
    ],
    runs: Runs = None,
    truth: Annotated[
        str,
        typer.Option("--truth", metavar="USER/SESSION", help="Who made the truth.", rich_help_panel=INPUT_PANEL),
    ] = "truth/1",
    picks: Annotated[
        str,
        typer.Option(
            "--picks",
            metavar="USER/SESSION",
            help="Whose picks, segmentations and denoised tomograms to evaluate.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = "cryosiam/1",
    semantic: Annotated[
        str, typer.Option("--semantic", metavar="NAME", help="Multilabel segmentation.", rich_help_panel=INPUT_PANEL)
    ] = "semantic",
    instances: Annotated[
        str, typer.Option("--instances", metavar="NAME", help="Instance segmentation.", rich_help_panel=INPUT_PANEL)
    ] = "particle",
    clean: Annotated[
        str, typer.Option("--clean", metavar="TYPE", help="Clean tomogram.", rich_help_panel=INPUT_PANEL)
    ] = "clean",
    denoised: Annotated[
        str | None,
        typer.Option(
            "--denoised",
            metavar="TYPE",
            help="Denoised tomogram; by default the one that cryosiam wrote for this user and session.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            "--embeddings",
            metavar="PARQUET",
            help="Embeddings; by default [b]cryosiam/embeddings.parquet[/] beside the project, where it is there.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    hit_fraction: Annotated[
        float,
        typer.Option(
            "--hit-fraction",
            metavar="SHARE",
            help="A pick is a hit within this share of the particle's radius.",
            rich_help_panel=WORK_PANEL,
        ),
    ] = 0.5,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder of evaluation.json and plots; by default [b]evaluation[/] beside the project.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare results with the truth of a project."""
    from cryosiam.cli.evaluation_calls import evaluate_project

    evaluate_project(
        EvaluateOptions(
            copick, runs, truth, picks, hit_fraction, semantic, instances, clean, denoised, embeddings, out, quiet
        )
    )
