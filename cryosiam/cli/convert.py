"""``cryosiam convert``: particles of one program as files of another. The work is in `handoff.converting`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli import exchange_options as opt
from cryosiam.cli.options import INPUT_PANEL, OUTPUT_PANEL, Quiet

HELP = "Turn a particle file of RELION, Warp, M, Scipion or Dynamo into one of another program, without a project."

EPILOG = (
    "[b]Examples[/]\n\n"
    "cryosiam convert particles.star --to warp --tomograms-star tomograms.star --out warp/\n\n"
    "cryosiam convert picks.star --from relion31 --to m --voxel-size 10 --out m/"
)


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Particles, or a list of files of them.")],
    to: Annotated[
        opt.DialectChoice, typer.Option("--to", help="The program and its version.", rich_help_panel=OUTPUT_PANEL)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for the files.", rich_help_panel=OUTPUT_PANEL)
    ],
    source: Annotated[
        opt.DialectChoice | None,
        typer.Option("--from", help="What FILE is; by default it is recognised.", rich_help_panel=INPUT_PANEL),
    ] = None,
    species: Annotated[
        str | None,
        typer.Option(
            "--object",
            metavar="NAME",
            help="Name of the particles, where the file gives none; by default the name of the file.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    tomograms_star: opt.TomogramsStar = None,
    warp_xml: opt.WarpXml = None,
    voxel_size: opt.VoxelSize = None,
    tilt_series_pixel_size: opt.TiltSeriesPixelSize = None,
    tomogram_size: opt.TomogramSize = None,
    tomogram_files: opt.TomogramFiles = None,
    overwrite: opt.Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Turn a particle file of one program into one of another."""
    from cryosiam.cli.convert_calls import ConvertOptions, convert_file

    convert_file(
        ConvertOptions(
            file=file,
            source=None if source is None else source.value,
            to=to.value,
            species=species,
            out=out,
            tomograms_star=tomograms_star,
            warp_xml=warp_xml,
            voxel_size=voxel_size,
            tilt_series_pixel_size=tilt_series_pixel_size,
            tomogram_size=tomogram_size,
            tomogram_files=tomogram_files,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
