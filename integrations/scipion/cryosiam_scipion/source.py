"""Where CryoSiam is installed from: the same place as this plug-in, so that both fit."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import unquote, urlparse

DISTRIBUTION = "scipion-em-cryosiam"
INSIDE = "integrations/scipion"
"""Where the plug-in lies in CryoSiam's source tree."""

EXTRA = "[train]"
"""What training needs besides."""


def source_of_cryosiam() -> str:
    """Return what to give to pip: the source tree or repository that this plug-in was installed from.

    pip notes it beside an installed package (PEP 610). A plug-in from a package index gets CryoSiam from there.
    """
    try:
        note = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        note = None
    return _source(json.loads(note)) if note else f"cryosiam{EXTRA}"


def _source(note: Mapping[str, Any]) -> str:
    address = str(note["url"])
    repository = note.get("vcs_info")
    if repository:
        return f"cryosiam{EXTRA} @ {repository['vcs']}+{address}@{repository['commit_id']}"
    folder = Path(unquote(urlparse(address).path))
    if urlparse(address).scheme == "file" and folder.as_posix().endswith(INSIDE):
        return f"{folder.parents[1]}{EXTRA}"
    return f"cryosiam{EXTRA}"
