"""The ``cryosiam`` command. Modules here import nothing heavy, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import cryosiam
from cryosiam.cli.adapters import adapters
from cryosiam.cli.check import EPILOG as CHECK_EPILOG
from cryosiam.cli.check import HELP as CHECK_HELP
from cryosiam.cli.check import check
from cryosiam.cli.convert import EPILOG as CONVERT_EPILOG
from cryosiam.cli.convert import HELP as CONVERT_HELP
from cryosiam.cli.convert import convert
from cryosiam.cli.evaluate import EPILOG as EVALUATE_EPILOG
from cryosiam.cli.evaluate import HELP as EVALUATE_HELP
from cryosiam.cli.evaluate import evaluate
from cryosiam.cli.export import EPILOG as EXPORT_EPILOG
from cryosiam.cli.export import HELP as EXPORT_HELP
from cryosiam.cli.export import export
from cryosiam.cli.import_ import EPILOG as IMPORT_EPILOG
from cryosiam.cli.import_ import HELP as IMPORT_HELP
from cryosiam.cli.import_ import import_
from cryosiam.cli.info import info
from cryosiam.cli.pick import COMMANDS
from cryosiam.cli.reconstruct import EPILOG as RECONSTRUCT_EPILOG
from cryosiam.cli.reconstruct import HELP as RECONSTRUCT_HELP
from cryosiam.cli.reconstruct import reconstruct
from cryosiam.cli.relion_job import CONTEXT as RELION_JOB_CONTEXT
from cryosiam.cli.relion_job import EPILOG as RELION_JOB_EPILOG
from cryosiam.cli.relion_job import HELP as RELION_JOB_HELP
from cryosiam.cli.relion_job import relion_job
from cryosiam.cli.simulate import app as simulate
from cryosiam.cli.structures import app as structures
from cryosiam.cli.train import app as train
from cryosiam.cli.weights import app as weights
from cryosiam.errors import CryoSiamError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class ReportingGroup(TyperGroup):
    """A command group that turns errors a user can cause into one line each."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        from cryosiam.pipeline.storage import storage_error

        try:
            return super().invoke(ctx)
        except CryoSiamError as error:
            _fail(str(error))
        except OSError as error:
            known = storage_error(error, "cannot write")
            if known is None:
                raise
            _fail(str(known))
        except (KeyboardInterrupt, SystemError) as error:
            if not _interrupted(error):
                raise
            sys.stderr.write("\nstopped; run the same command again to go on\n")
            raise typer.Exit(INTERRUPTED) from None


def _interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: compiled code that is being loaded turns it into a `SystemError`."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _fail(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(1)


app = typer.Typer(
    cls=ReportingGroup,
    name="cryosiam",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "[b]Examples[/]\n\n"
        "cryosiam pick --copick project.json\n\n"
        "cryosiam pick --mrc 'tomos/*.mrc' --voxel-size 10 --out results/\n\n"
        "cryosiam info project.json"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cryosiam {cryosiam.__version__}")
        raise typer.Exit


@app.callback()
def cryosiam_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Find particles in cryo-electron tomograms, from tomogram to STAR file, without labels."""


for _name, (_function, _help, _epilog) in COMMANDS.items():
    app.command(_name, help=_help, epilog=_epilog)(_function)
app.command("reconstruct", help=RECONSTRUCT_HELP, epilog=RECONSTRUCT_EPILOG)(reconstruct)
app.command("evaluate", help=EVALUATE_HELP, epilog=EVALUATE_EPILOG)(evaluate)
app.command("check", help=CHECK_HELP, epilog=CHECK_EPILOG)(check)
app.command("export", help=EXPORT_HELP, epilog=EXPORT_EPILOG)(export)
app.command("relion-job", help=RELION_JOB_HELP, epilog=RELION_JOB_EPILOG, context_settings=RELION_JOB_CONTEXT)(
    relion_job
)
app.command("import", help=IMPORT_HELP, epilog=IMPORT_EPILOG)(import_)
app.command("convert", help=CONVERT_HELP, epilog=CONVERT_EPILOG)(convert)
app.command("info")(info)
app.command("adapters")(adapters)
app.add_typer(simulate, name="simulate")
app.add_typer(train, name="train")
app.add_typer(structures, name="structures")
app.add_typer(weights, name="weights")


def main() -> None:
    """Run the command line."""
    app()
