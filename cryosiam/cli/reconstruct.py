"""``cryosiam reconstruct``: a tilt series becomes a tomogram."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL, WORK_PANEL, Overwrite, Quiet

HELP = "Make a tomogram of a tilt series by weighted back-projection, in a copick project or as MRC."

EPILOG = (
    "[b]Examples[/]\n\n"
    "cryosiam reconstruct --stack S.mrc --tilt S.tlt --xf S.xf --voxel-size 10 --copick project.json --run TS-01\n\n"
    "cryosiam reconstruct --stack S.mrc --warp-xml S.xml --voxel-size 10 --out S-10A.mrc --halves"
)


def reconstruct(
    stack: Annotated[
        Path,
        typer.Option("--stack", metavar="MRC", help="Tilt stack, protein dark.", rich_help_panel=INPUT_PANEL),
    ],
    voxel_size: Annotated[
        float,
        typer.Option("--voxel-size", metavar="Å", help="Of the tomogram.", rich_help_panel=OUTPUT_PANEL),
    ],
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            "-r",
            metavar="NAME",
            help="Name of the run; by default that of the stack.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    tilt: Annotated[
        Path | None,
        typer.Option("--tilt", metavar="TLT", help="Tilt angles, one per line.", rich_help_panel=INPUT_PANEL),
    ] = None,
    xf: Annotated[
        Path | None,
        typer.Option(
            "--xf", metavar="XF", help="IMOD transforms; without, the stack is aligned.", rich_help_panel=INPUT_PANEL
        ),
    ] = None,
    warp_xml: Annotated[
        Path | None,
        typer.Option(
            "--warp-xml",
            metavar="XML",
            help="Alignment of Warp or M, or a .tomostar, in place of --tilt and --xf.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            "--pixel-size",
            metavar="Å",
            help="Of the stack; by default that of its header.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    xf_pixel_size: Annotated[
        float | None,
        typer.Option(
            "--xf-pixel-size",
            metavar="Å",
            help="Of the stack the .xf was made for; by default that of --stack.",
            rich_help_panel=INPUT_PANEL,
        ),
    ] = None,
    copick: Annotated[
        Path | None,
        typer.Option("--copick", "-c", metavar="JSON", help="Project to write into.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    create: Annotated[
        bool,
        typer.Option("--create", help="Start the project where there is none.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="MRC", help="Write this file in place of --copick.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    tomo_type: Annotated[
        str,
        typer.Option("--tomo-type", metavar="NAME", help="Name of the tomogram.", rich_help_panel=OUTPUT_PANEL),
    ] = "wbp",
    halves: Annotated[
        bool,
        typer.Option(
            "--halves", help="Also from every second tilt: NAME-even and NAME-odd.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    thickness: Annotated[
        str,
        typer.Option(
            "--thickness", metavar="N|NA", help="In voxels, or in Å as in 2400A.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = "2400A",
    invert_angles: Annotated[
        bool | None,
        typer.Option(
            "--invert-angles/--keep-angles",
            help="Sign of the tilt angles, which decides the hand. By default IMOD's are kept and Warp's inverted, "
            "so that coordinates hold in that program's own tomogram.",
            show_default=False,
            rich_help_panel=WORK_PANEL,
        ),
    ] = None,
    roll_off_start: Annotated[
        float,
        typer.Option(
            "--roll-off-start",
            metavar="F",
            help="Frequency where the ramp filter begins to fall, cycles per voxel.",
            rich_help_panel=WORK_PANEL,
        ),
    ] = 0.35,
    roll_off_sigma: Annotated[
        float,
        typer.Option("--roll-off-sigma", metavar="F", help="Width of that Gaussian fall.", rich_help_panel=WORK_PANEL),
    ] = 0.05,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, metavar="N", help="By default all cores.", rich_help_panel=WORK_PANEL),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a tomogram of a tilt series by weighted back-projection."""
    from cryosiam.errors import InputError
    from cryosiam.integrations.reconstruction import (
        CopickDestination,
        Destination,
        MrcDestination,
        reconstruct_files,
        thickness_voxels,
    )
    from cryosiam.integrations.tilt_series import TiltSeriesFiles
    from cryosiam.pipeline.progress import reporter
    from cryosiam.tomography.reconstruct import ReconstructionOptions

    if not voxel_size > 0:
        raise InputError(f"--voxel-size must be a positive number of Å, not {voxel_size:g}")
    destination: Destination
    if copick is not None and out is None:
        destination = CopickDestination(copick, create, overwrite)
    elif out is not None and copick is None:
        destination = MrcDestination(out, tomo_type, overwrite)
    else:
        raise InputError("say where the tomogram goes: --copick project.json, or --out file.mrc")
    options = ReconstructionOptions(
        voxel_size_angstrom=voxel_size,
        thickness=thickness_voxels(thickness, voxel_size),
        tomogram_type=tomo_type,
        roll_off_start=roll_off_start,
        roll_off_sigma=roll_off_sigma,
        invert_angles=invert_angles,
        threads=threads,
    )
    files = TiltSeriesFiles(stack, tilt, xf, warp_xml, pixel_size, xf_pixel_size)
    with reporter(quiet) as report:
        reconstruct_files(run or stack.stem, files, options, destination, halves, report)
