"""A new, empty copick project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryosiam.pipeline.storage import storage_errors, write_text_whole

if TYPE_CHECKING:
    from pathlib import Path


def create_project(config_path: Path) -> Path:
    """Write a project file of type ``filesystem`` without objects, and its overlay folder beside it.

    Parameters
    ----------
    config_path
        The JSON file to write; its folder is made.

    Returns
    -------
    Path
        The overlay folder, named as the file with ``_overlay``.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    overlay = config_path.resolve().with_name(f"{config_path.stem}_overlay")
    content = {
        "config_type": "filesystem",
        "name": config_path.stem,
        "description": "made by cryosiam reconstruct",
        "version": "0.5.0",
        "pickable_objects": [],
        "overlay_root": f"local://{overlay}",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    with storage_errors("cannot create a project in"):
        overlay.mkdir(parents=True, exist_ok=True)
        write_text_whole(config_path, json.dumps(content, indent=2) + "\n")
    return overlay
