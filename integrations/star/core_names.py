"""Names of tomograms without what programs add to them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

_ENDING: Final = re.compile(r"\.(tomostar|mrc|rec|st|zarr|xml)$", re.IGNORECASE)
_WARP_SIZE: Final = re.compile(r"_\d+(\.\d+)?Apx$")


def core_name(name: str) -> str:
    """Return a tomogram's name without what programs add to it.

    RELION puts ``rec_`` before the names of its reconstructions, AreTomo ``_Vol`` after them, Warp the voxel size as in
    ``_10.00Apx``; Warp's names end in ``.tomostar``.
    """
    bare = _ENDING.sub("", PurePosixPath(name).name)
    bare = _WARP_SIZE.sub("", bare)
    return bare.removesuffix("_Vol").removeprefix("rec_")
