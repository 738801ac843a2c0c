"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

INPUT_PANEL = "Input"
OUTPUT_PANEL = "Output"
WORK_PANEL = "How to work"


class ContrastChoice(StrEnum):
    """Values of ``--contrast``."""

    AUTO = "auto"
    DARK = "dark"
    BRIGHT = "bright"


Copick = Annotated[
    Path | None,
    typer.Option("--copick", "-c", metavar="JSON", help="copick project file.", rich_help_panel=INPUT_PANEL),
]
Mrc = Annotated[
    list[str] | None,
    typer.Option(
        "--mrc",
        metavar="PATTERN",
        help="MRC or REC file, or a quoted pattern; repeatable.",
        rich_help_panel=INPUT_PANEL,
    ),
]
Relion = Annotated[
    Path | None,
    typer.Option(
        "--relion",
        metavar="STAR",
        help="tomograms.star of a RELION 5 or 4 project; particles are written for the same project.",
        rich_help_panel=INPUT_PANEL,
    ),
]
VoxelSize = Annotated[
    float | None,
    typer.Option(
        "--voxel-size",
        metavar="Å",
        help="Voxel size of the files given by --mrc; by default the one in their header.",
        rich_help_panel=INPUT_PANEL,
    ),
]
TomogramType = Annotated[
    str | None,
    typer.Option(
        "--tomogram",
        "-t",
        metavar="TYPE[@Å]",
        help="Tomogram to read, in copick's manner: [b]wbp@10.0[/]; for --relion reconstructed, halves or denoised. "
        "Needed where there is more than one.",
        rich_help_panel=INPUT_PANEL,
    ),
]
Runs = Annotated[
    list[str] | None,
    typer.Option("--run", "-r", metavar="RUN", help="Run; repeatable. All by default.", rich_help_panel=INPUT_PANEL),
]
Contrast = Annotated[
    ContrastChoice,
    typer.Option(help="Grey value of protein: found out, or given.", rich_help_panel=INPUT_PANEL, case_sensitive=False),
]
LowPass = Annotated[
    float | None,
    typer.Option(
        "--low-pass",
        metavar="Å",
        help="Show the network no detail finer than this; 30 helps where noise hides everything, and costs precision.",
        rich_help_panel=INPUT_PANEL,
    ),
]
UserId = Annotated[
    str, typer.Option("--user-id", "-u", metavar="NAME", help="Whose products these are.", rich_help_panel=OUTPUT_PANEL)
]
SessionId = Annotated[
    str,
    typer.Option("--session-id", "-s", metavar="NAME", help="Which attempt this is.", rich_help_panel=OUTPUT_PANEL),
]
Objects = Annotated[
    str | None,
    typer.Option(
        "--objects",
        "-o",
        metavar="NAMES",
        help="Only pick sets of these classes, separated by commas; by default those the project names, and "
        "[b]particle[/] for the rest.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
NothingElse = Annotated[
    bool,
    typer.Option(
        "--nothing-else",
        help="The sample holds the classes of [b]--objects[/] (or of the project) and no others: every particle gets "
        "the likeliest of them.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder of STAR files, embeddings, pictures and manifest; by default [b]cryosiam[/] beside the project.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Redo what is done.", rich_help_panel=OUTPUT_PANEL)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.", rich_help_panel=OUTPUT_PANEL)
]
NoAddObjects = Annotated[
    bool,
    typer.Option(
        "--no-add-objects",
        help="Leave the objects of the copick project file as they are.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
TomogramsStar = Annotated[
    Path | None,
    typer.Option(
        "--tomograms-star",
        metavar="STAR",
        help="RELION 5 tomograms.star, for relion5/particles.star.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
TiltSeriesPixelSize = Annotated[
    float | None,
    typer.Option(
        "--tilt-series-pixel-size",
        metavar="Å",
        help="Unbinned pixel size, for relion5/particles.star.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
TomogramSize = Annotated[
    str | None,
    typer.Option(
        "--tomogram-size",
        metavar="X,Y,Z",
        help="Unbinned tomogram size in pixels, for relion5/particles.star.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
BinnedByAveraging = Annotated[
    int,
    typer.Option(
        "--binned-by-averaging",
        metavar="N",
        min=1,
        help="Where N x N x N voxels were averaged into one of this tomogram, for relion5/particles.star.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Weights = Annotated[
    str, typer.Option("--weights", "-w", metavar="NAME|FOLDER", help="Weights to use.", rich_help_panel=WORK_PANEL)
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", help="[b]auto[/], cpu, cuda, cuda:1 ...", rich_help_panel=WORK_PANEL),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory to stay within, such as [b]4G[/]; by default 2.2 GB, or 60 % of what is free where that is less.",
        rich_help_panel=WORK_PANEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        "-j",
        metavar="N",
        min=1,
        help="Processor cores to use; all by default.",
        rich_help_panel=WORK_PANEL,
    ),
]
Threshold = Annotated[
    float,
    typer.Option(
        "--threshold",
        metavar="SCORE",
        help="Leave out particles scoring less; lower finds more, higher is right more often.",
        rich_help_panel=WORK_PANEL,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", help="Kept in the manifest; nothing here is random today.", rich_help_panel=WORK_PANEL
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.", rich_help_panel=WORK_PANEL)]
