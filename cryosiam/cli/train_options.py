"""Options of ``cryosiam train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL, WORK_PANEL, Quiet, Runs, TomogramType

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder of specimens, checkpoints, logs and, in [b]weights[/], of what was learnt.",
        rich_help_panel=OUTPUT_PANEL,
        show_default=False,
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME|YAML",
        help="Recipe: one that ships ([b]cryosiam train recipes[/]), or a file.",
        rich_help_panel=INPUT_PANEL,
    ),
]
Structures = Annotated[
    Path | None,
    typer.Option(
        "--structures",
        metavar="FOLDER",
        help="Folder that the structures of simulated specimens are looked for in.",
        rich_help_panel=INPUT_PANEL,
    ),
]
Copick = Annotated[
    Path | None,
    typer.Option(
        "--copick",
        "-c",
        metavar="JSON",
        help="copick project to learn from, in place of simulated specimens.",
        rich_help_panel=INPUT_PANEL,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="USER/SESSION",
        help="Whose annotations of the project to learn from, such as [b]curator/1[/], or which: "
        "[b]membrane=NAME:USER/SESSION, particle=NAME:USER/SESSION[/]. Needed where there are several.",
        rich_help_panel=INPUT_PANEL,
    ),
]
BackgroundUnknown = Annotated[
    bool,
    typer.Option(
        "--background-unknown",
        help="What has no label may be anything: for tomograms that are annotated in part.",
        rich_help_panel=INPUT_PANEL,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME|FOLDER",
        help="Weights to start from: [b]light[/] for those that ship; by default those of an earlier stage in --out.",
        rich_help_panel=INPUT_PANEL,
    ),
]
FreezeTrunk = Annotated[
    bool,
    typer.Option("--freeze-trunk", help="Let the heads learn alone: needs few labels.", rich_help_panel=WORK_PANEL),
]
OnDenoised = Annotated[
    bool,
    typer.Option(
        "--on-denoised",
        help="Learn from denoised tomograms, as the thesis does; the denoiser is that of --from.",
        rich_help_panel=WORK_PANEL,
    ),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        "--time-budget",
        metavar="TIME",
        help="Stop after so long, such as [b]90m[/] or [b]1h30m[/]; the same command goes on later.",
        rich_help_panel=WORK_PANEL,
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience",
        metavar="N",
        min=1,
        help="Stop early after so many validations without a better score.",
        rich_help_panel=WORK_PANEL,
    ),
]
Devices = Annotated[
    str,
    typer.Option(
        "--devices", metavar="N|auto|cpu", help="How many GPUs on this machine, or cpu.", rich_help_panel=WORK_PANEL
    ),
]
Nodes = Annotated[
    int, typer.Option("--nodes", metavar="N", min=1, help="How many machines.", rich_help_panel=WORK_PANEL)
]


@dataclass(frozen=True)
class TrainOptions:
    """What the user asked for; the annotations describe the options on the command line."""

    out: Out
    recipe: Recipe = "light"
    structures: Structures = None
    copick: Copick = None
    labels: Labels = None
    background_unknown: BackgroundUnknown = False
    tomogram: TomogramType = None
    runs: Runs = None
    start: Start = None
    freeze_trunk: FreezeTrunk = False
    on_denoised: OnDenoised = False
    time_budget: TimeBudget = None
    patience: Patience = None
    devices: Devices = "auto"
    nodes: Nodes = 1
    quiet: Quiet = False


PROJECT_OPTIONS = frozenset({"copick", "labels", "background_unknown", "tomogram", "runs"})
"""Options of stages that can learn from a user's own annotations."""

HEAD_OPTIONS = frozenset({"freeze_trunk", "on_denoised"})
"""Options of stages that train heads on a trunk."""
