"""``cryosiam info``: what is in a copick or RELION project, what is missing, what ``pick`` would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import Weights


def info(
    project: Annotated[
        Path, typer.Argument(metavar="JSON|STAR", help="copick project file, or tomograms.star of a RELION project.")
    ],
    weights: Weights = "light",
) -> None:
    """Say what is in a copick or RELION project, what is missing, and what [b]pick[/] would do."""
    from cryosiam.cli.describe import describe_project

    describe_project(project, weights)
