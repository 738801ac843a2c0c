from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

import cryosiam

# Programs started by a test are those of this environment, and look for the package where it is installed, not in the
# folder they start in: the source tree holds only part of it there.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
os.environ["PYTHONSAFEPATH"] = "1"

# How long an example takes depends on what else the machine does; it says nothing about the code.
settings.register_profile("cryosiam", deadline=None)
settings.load_profile("cryosiam")


def pytest_report_header() -> str:
    """Say which copy of the package is tested: the installed one, or the source tree."""
    return f"testing cryosiam {cryosiam.__version__} in {Path(cryosiam.__file__).parent}"
