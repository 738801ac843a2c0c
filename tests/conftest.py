from __future__ import annotations

import os
from pathlib import Path

from hypothesis import settings

import cryosiam

# Python started by a test looks for the package where it is installed, not in the folder it starts in: the source
# tree holds only part of it there.
os.environ["PYTHONSAFEPATH"] = "1"

# How long an example takes depends on what else the machine does; it says nothing about the code.
settings.register_profile("cryosiam", deadline=None)
settings.load_profile("cryosiam")


def pytest_report_header() -> str:
    """Say which copy of the package is tested: the installed one, or the source tree."""
    return f"testing cryosiam {cryosiam.__version__} in {Path(cryosiam.__file__).parent}"
