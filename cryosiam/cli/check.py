"""``cryosiam check``: what RELION, Warp, M or Scipion will do with a STAR file. The work is in `check_calls`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL

HELP = (
    "Say what RELION, Warp, M or Scipion will do with a STAR file, and how to mend what is wrong with it.\n\n"
    "Exit code 0: nothing wrong. 1: the program stops, or runs and gives wrong results. 2: no STAR file that can be "
    "read."
)

EPILOG = (
    "[b]Examples[/]\n\n"
    "cryosiam check particles.star --for relion5 --tomograms tomograms.star\n\n"
    "cryosiam check picks.star --for warp --json report.json\n\n"
    "cryosiam check optimisation_set.star --for relion5\n\n"
    "cryosiam check picks.star --for warp --tomogram TS_01_10.00Apx.mrc"
)


class ProgramChoice(StrEnum):
    """Values of ``--for``."""

    RELION5 = "relion5"
    RELION4 = "relion4"
    RELION31 = "relion31"
    WARP = "warp"
    M = "m"
    SCIPION = "scipion"


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any STAR file, ours or not.")],
    program: Annotated[
        ProgramChoice, typer.Option("--for", help="The program it is meant for.", rich_help_panel=INPUT_PANEL)
    ],
    tomograms: Annotated[
        Path | None,
        typer.Option(
            "--tomograms",
            "--tomograms-star",
            metavar="STAR",
            help="tomograms.star that goes with it: names, sizes and pixel sizes are compared.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    tomogram: Annotated[
        list[Path] | None,
        typer.Option(
            "--tomogram",
            metavar="MRC",
            help="File of a tomogram, to look whether there is density under the particles; repeatable. Those that "
            "tomograms.star names are found.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            "--voxel-size",
            metavar="Å",
            help="What coordinates in voxels are counted in, as [b]--coords_angpix[/] of Warp; by default the "
            "tomogram's.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the report here too.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
) -> None:
    """Say what a program will do with a STAR file."""
    from cryosiam.cli.check_calls import check_file

    check_file(file, program.value, tomograms, tomogram or [], voxel_size, json)
