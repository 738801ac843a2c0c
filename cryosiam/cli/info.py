"""``cryosiam info``: what is in a project, what is missing, what ``pick`` would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryosiam.cli.options import Weights


def info(
    project: Annotated[Path, typer.Argument(metavar="JSON", help="copick project file.")],
    weights: Weights = "light",
) -> None:
    """Say what is in a copick project, what is missing, and what [b]pick[/] would do."""
    from cryosiam.cli.describe import describe_project

    describe_project(project, weights)
