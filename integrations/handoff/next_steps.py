"""What to do next in the other program, as a line the user can copy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.integrations.handoff.exporting import Export, ExportRequest


def next_step(request: ExportRequest, export: Export, paths: Sequence[Path]) -> str:
    """Return the next command of the other program for the first file.

    Parameters
    ----------
    request, export
        What was asked for, and the picks.
    paths
        Files that were written, particle files first.
    """
    return f"next: {paths[0]}"


def _even(size: float) -> int:
    return 2 * math.ceil(size / 2)
