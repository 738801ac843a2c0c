"""Options that ``export`` and ``import`` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL, WORK_PANEL

FRAME_PANEL = "How tomograms lie in the other program"


class DialectChoice(StrEnum):
    """Values of ``--to`` and ``--from``."""

    RELION5 = "relion5"
    RELION5_IMPORT = "relion5-import"
    RELION4 = "relion4"
    RELION31 = "relion31"
    WARP = "warp"
    M = "m"
    SCIPION = "scipion"
    DYNAMO = "dynamo"
    CSV = "csv"


Copick = Annotated[
    Path, typer.Option("--copick", "-c", metavar="JSON", help="copick project file.", rich_help_panel=INPUT_PANEL)
]
TomogramType = Annotated[
    str | None,
    typer.Option(
        "--tomogram",
        "-t",
        metavar="TYPE[@Å]",
        help="Tomogram that was picked, such as [b]wbp@10.0[/]. Needed where a run has tomograms of several sizes.",
        rich_help_panel=INPUT_PANEL,
    ),
]
TomogramsStar = Annotated[
    Path | None,
    typer.Option(
        "--tomograms-star",
        "--tomograms",
        metavar="STAR",
        help="RELION's tomograms.star, version 4 or 5: names, pixel sizes, unbinned sizes.",
        rich_help_panel=FRAME_PANEL,
    ),
]
Portal = Annotated[
    Path | None,
    typer.Option(
        "--portal",
        metavar="FOLDER",
        help="Folder with the data portal's metadata files, in place of it.",
        rich_help_panel=FRAME_PANEL,
    ),
]
WarpXml = Annotated[
    Path | None,
    typer.Option(
        "--warp-xml",
        metavar="XML|FOLDER",
        help="Warp's or M's XML of the tilt series, in place of it.",
        rich_help_panel=FRAME_PANEL,
    ),
]
TiltSeriesPixelSize = Annotated[
    float | None,
    typer.Option(
        "--tilt-series-pixel-size",
        metavar="Å",
        help="Unbinned pixel size, where no file states it.",
        rich_help_panel=FRAME_PANEL,
    ),
]
TomogramSize = Annotated[
    str | None,
    typer.Option(
        "--tomogram-size",
        metavar="X,Y,Z",
        help="Unbinned tomogram size in pixels, where no file states it.",
        rich_help_panel=FRAME_PANEL,
    ),
]
BinnedByAveraging = Annotated[
    int,
    typer.Option(
        "--binned-by-averaging",
        metavar="N",
        min=1,
        help="Where N x N x N voxels were averaged into one of the tomogram that was picked.",
        rich_help_panel=FRAME_PANEL,
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="RUN=NAME",
        help="The other program's name of a run's tomogram, where it cannot be found out; repeatable.",
        rich_help_panel=FRAME_PANEL,
    ),
]
VoxelSize = Annotated[
    float | None,
    typer.Option(
        "--voxel-size",
        metavar="Å",
        help="Of the tomograms that were picked, where the project has none of them.",
        rich_help_panel=FRAME_PANEL,
    ),
]
OpticsNumbers = Annotated[
    str | None,
    typer.Option(
        "--optics",
        metavar="KV,CS,Q0",
        help="Voltage, spherical aberration in mm and amplitude contrast, where no file states them: 300,2.7,0.1.",
        rich_help_panel=FRAME_PANEL,
    ),
]
TomogramFiles = Annotated[
    str | None,
    typer.Option(
        "--tomogram-files",
        metavar="PATTERN",
        help="Where the other program finds the tomograms, for relion31 and dynamo: [b]tomograms/{name}.mrc[/].",
        rich_help_panel=FRAME_PANEL,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there.", rich_help_panel=OUTPUT_PANEL)
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="SCORE", help="Leave out picks scoring less.", rich_help_panel=WORK_PANEL),
]
