"""``cryosiam import``: particles of other programs as picks. The work is in `exchange_calls`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli import exchange_options as opt
from cryosiam.cli.options import OUTPUT_PANEL, DryRun, NoAddObjects, Quiet, Runs

HELP = "Take particles of RELION, Warp, M, Scipion or Dynamo into a copick project, as picks."

EPILOG = (
    "[b]Examples[/]\n\n"
    "cryosiam import Refine3D/job012/run_data.star --copick project.json --object ribosome "
    "--user-id relion --session-id job012 --tomograms-star Tomograms/job005/tomograms.star\n\n"
    "cryosiam import picks.star --from warp --copick project.json --user-id warp --session-id 1 --object ribosome\n\n"
    "cryosiam import Class3D/job015/run_it025_data.star --copick project.json --tomograms-star tomograms.star "
    "--user-id relion --session-id job015 --object 1=ribosome --object 2=proteasome"
)


@dataclass(frozen=True)
class ImportOptions:
    """What the user asked for; see the command's options."""

    file: Path
    copick: Path
    user_id: str
    session_id: str
    dialect: str | None
    objects: list[str] | None
    runs: list[str] | None
    tomogram: str | None
    tomograms_star: Path | None
    portal: Path | None
    warp_xml: Path | None
    tilt_series_pixel_size: float | None
    tomogram_size: str | None
    binned_by_averaging: int
    names: list[str] | None
    voxel_size: float | None
    skip_unknown: bool
    no_add_objects: bool
    overwrite: bool
    dry_run: bool
    quiet: bool


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Particle file, or RELION's optimisation_set.star.")],
    copick: opt.Copick,
    user_id: Annotated[
        str,
        typer.Option("--user-id", "-u", metavar="NAME", help="Whose picks these are.", rich_help_panel=OUTPUT_PANEL),
    ],
    session_id: Annotated[
        str,
        typer.Option("--session-id", "-s", metavar="NAME", help="Which attempt this is.", rich_help_panel=OUTPUT_PANEL),
    ],
    dialect: Annotated[
        opt.DialectChoice | None,
        typer.Option(
            "--from",
            help="The program that wrote it; by default told from the columns.",
            rich_help_panel=opt.FRAME_PANEL,
        ),
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option(
            "--object",
            "-o",
            metavar="NAME|CLASS=NAME",
            help="What the particles are, or what one class of the file is; repeatable.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    runs: Runs = None,
    tomogram: opt.TomogramType = None,
    tomograms_star: opt.TomogramsStar = None,
    portal: opt.Portal = None,
    warp_xml: opt.WarpXml = None,
    tilt_series_pixel_size: opt.TiltSeriesPixelSize = None,
    tomogram_size: opt.TomogramSize = None,
    binned_by_averaging: opt.BinnedByAveraging = 1,
    name: opt.Names = None,
    voxel_size: opt.VoxelSize = None,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown",
            help="Leave out particles of tomograms that the project lacks.",
            rich_help_panel=opt.FRAME_PANEL,
        ),
    ] = False,
    no_add_objects: NoAddObjects = False,
    overwrite: opt.Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Take particles of another program into a copick project."""
    from cryosiam.cli.exchange_calls import import_particles

    import_particles(
        ImportOptions(
            file=file,
            copick=copick,
            user_id=user_id,
            session_id=session_id,
            dialect=dialect.value if dialect else None,
            objects=objects,
            runs=runs,
            tomogram=tomogram,
            tomograms_star=tomograms_star,
            portal=portal,
            warp_xml=warp_xml,
            tilt_series_pixel_size=tilt_series_pixel_size,
            tomogram_size=tomogram_size,
            binned_by_averaging=binned_by_averaging,
            names=name,
            voxel_size=voxel_size,
            skip_unknown=skip_unknown,
            no_add_objects=no_add_objects,
            overwrite=overwrite,
            dry_run=dry_run,
            quiet=quiet,
        )
    )
