"""``cryosiam export``: picks as files of other programs. The work is in `exchange_calls`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli import exchange_options as opt
from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL, DryRun, Quiet, Runs

HELP = "Hand picks over to RELION, Warp, M, Scipion or Dynamo, as files that they take as they are."

EPILOG = (
    "[b]Examples[/]\n\n"
    "cryosiam export --copick project.json --picks 'ribosome:cryosiam/*' --to relion5 "
    "--tomograms-star Tomograms/job005/tomograms.star --out Picks/\n\n"
    "cryosiam export --copick project.json --picks 'ribosome:cryosiam/1' --to warp --warp-xml warp_tiltseries/ "
    "--out picks/\n\n"
    "cryosiam export --copick project.json --picks 'ribosome:cryosiam/1' --picks 'proteasome:cryosiam/1' --to relion5 "
    "--tilt-series-pixel-size 1.35 --tomogram-size 4096,4096,2000 --out Picks/ --threshold 0.5"
)


@dataclass(frozen=True)
class ExportOptions:
    """What the user asked for; see the command's options."""

    copick: Path
    picks: list[str]
    to: str
    out: Path
    one_file: bool
    runs: list[str] | None
    tomogram: str | None
    threshold: float | None
    tomograms_star: Path | None
    portal: Path | None
    warp_xml: Path | None
    tilt_series_pixel_size: float | None
    tomogram_size: str | None
    binned_by_averaging: int
    names: list[str] | None
    voxel_size: float | None
    optics: str | None
    tomogram_files: str | None
    overwrite: bool
    dry_run: bool
    quiet: bool


def export(
    copick: opt.Copick,
    picks: Annotated[
        list[str],
        typer.Option(
            "--picks",
            "-p",
            metavar="OBJECT:USER/SESSION",
            help="Picks to hand over, in copick's manner; parts may be missing or patterns. Repeatable.",
            rich_help_panel=INPUT_PANEL,
        ),
    ],
    to: Annotated[
        opt.DialectChoice, typer.Option("--to", help="The program and its version.", rich_help_panel=OUTPUT_PANEL)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for the files.", rich_help_panel=OUTPUT_PANEL)
    ],
    one_file: Annotated[
        bool,
        typer.Option(
            "--one-file", help="All species in one file; by default a file each.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    runs: Runs = None,
    tomogram: opt.TomogramType = None,
    threshold: opt.Threshold = None,
    tomograms_star: opt.TomogramsStar = None,
    portal: opt.Portal = None,
    warp_xml: opt.WarpXml = None,
    tilt_series_pixel_size: opt.TiltSeriesPixelSize = None,
    tomogram_size: opt.TomogramSize = None,
    binned_by_averaging: opt.BinnedByAveraging = 1,
    name: opt.Names = None,
    voxel_size: opt.VoxelSize = None,
    optics: opt.OpticsNumbers = None,
    tomogram_files: opt.TomogramFiles = None,
    overwrite: opt.Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Hand picks over to another program."""
    from cryosiam.cli.exchange_calls import export_project

    export_project(
        ExportOptions(
            copick=copick,
            picks=picks,
            to=to.value,
            out=out,
            one_file=one_file,
            runs=runs,
            tomogram=tomogram,
            threshold=threshold,
            tomograms_star=tomograms_star,
            portal=portal,
            warp_xml=warp_xml,
            tilt_series_pixel_size=tilt_series_pixel_size,
            tomogram_size=tomogram_size,
            binned_by_averaging=binned_by_averaging,
            names=name,
            voxel_size=voxel_size,
            optics=optics,
            tomogram_files=tomogram_files,
            overwrite=overwrite,
            dry_run=dry_run,
            quiet=quiet,
        )
    )
