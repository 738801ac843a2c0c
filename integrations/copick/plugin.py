"""``copick inference cryosiam``: our ``pick`` command inside copick's own command line.

Every call of ``copick`` imports this module, so it imports nothing but click.
"""

from __future__ import annotations

import os

import click

_PROJECT_OPTIONS = ("--copick", "-c", "--mrc", "--relion", "--help", "-h")


@click.command(
    "cryosiam",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
    short_help="Pick particles without labels: denoise, segment, separate, classify.",
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def cryosiam(args: tuple[str, ...]) -> None:
    """Pick particles without labels; takes the options of ``cryosiam pick``."""
    from cryosiam.cli.main import app

    app(args=["pick", *_own_options(args)], prog_name="copick inference cryosiam")


def _own_options(args: tuple[str, ...]) -> list[str]:
    """Turn copick's ways of naming the project, ``--config`` and ``COPICK_CONFIG``, into ours."""
    own = ["--copick" + arg.removeprefix("--config") if _is_config(arg) else arg for arg in args]
    project = os.environ.get("COPICK_CONFIG")
    if project and not any(arg.split("=")[0] in _PROJECT_OPTIONS for arg in own):
        return ["--copick", project, *own]
    return own


def _is_config(arg: str) -> bool:
    return arg == "--config" or arg.startswith("--config=")
