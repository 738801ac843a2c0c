"""The project file of simulated tomograms: every class and species is a pickable object, each in its own colour."""

from __future__ import annotations

import colorsys
import json
from typing import TYPE_CHECKING, Any, Final

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import InputError
from cryosiam.integrations.copick.config import check_name, read_json
from cryosiam.integrations.copick.objects import NOT_PARTICLES
from cryosiam.pipeline.storage import write_text_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

SAMPLE_OBJECT: Final = "sample"
"""Object of the mask that tells the slab from the empty volume around it."""

PROJECT_FILE: Final = "project.json"
OVERLAY: Final = "overlay"

FIRST_SPECIES_LABEL: Final = 11
_GOLDEN_TURN: Final = 0.618033988749895
_SATURATION_AND_VALUE: Final = ((0.85, 0.95), (0.55, 1.0), (0.9, 0.65))


def check_species_names(names: Mapping[str, float]) -> None:
    """Refuse species that copick cannot store, or that have the name of a class.

    Raises
    ------
    InputError
        If there is one; it says which.
    """
    for name in names:
        check_name(name, "species name")
        if name in (*SEMANTIC_CLASSES, SAMPLE_OBJECT):
            raise InputError(f"species '{name}' has the name of a class; give it another name in the recipe")


def write_project_file(folder: Path, radii_angstrom: Mapping[str, float], masses_kda: Mapping[str, float]) -> Path:
    """Write ``project.json`` with our classes and these species, or add the species that it lacks.

    Parameters
    ----------
    folder
        Of the project; its data lie in ``overlay`` beside the file.
    radii_angstrom
        Radius of each species.
    masses_kda
        Mass of each species, where known; kept in the object's metadata.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the file is there and is no copick project, or a species cannot be stored.
    """
    check_species_names(radii_angstrom)
    path = folder / PROJECT_FILE
    content = read_json(path) if path.exists() else _new_content(folder)
    entries = content["pickable_objects"]
    there = {entry["name"] for entry in entries}
    label = max(FIRST_SPECIES_LABEL - 1, *(entry["label"] for entry in entries))
    missing = [name for name in radii_angstrom if name not in there]
    for offset, name in enumerate(missing, start=1):
        mass = {"metadata": {"mass_kda": masses_kda[name]}} if name in masses_kda else {}
        entries.append(_entry(name, True, label + offset, radius=round(float(radii_angstrom[name]), 3), **mass))
    if missing or not path.exists():
        write_text_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def forget_species(folder: Path, names: Collection[str]) -> None:
    """Take these species out of ``project.json``; what others added to it stays.

    Raises
    ------
    InputError
        If the file is there and is no copick project.
    """
    path = folder / PROJECT_FILE
    if path.exists():
        content = read_json(path)
        content["pickable_objects"] = [one for one in content["pickable_objects"] if one["name"] not in names]
        write_text_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        remove_bare_project_file(folder)


def remove_bare_project_file(folder: Path) -> bool:
    """Remove ``project.json`` if it lists no object but our classes; tell whether there is none now.

    Raises
    ------
    InputError
        If the file is there and is no copick project.
    """
    path = folder / PROJECT_FILE
    if path.exists():
        if {one["name"] for one in read_json(path)["pickable_objects"]} - {*SEMANTIC_CLASSES, SAMPLE_OBJECT}:
            return False
        path.unlink()
    return True


def _new_content(folder: Path) -> dict[str, Any]:
    classes = [
        _entry(name, name not in NOT_PARTICLES, label) for label, name in enumerate(SEMANTIC_CLASSES) if label > 0
    ]
    return {
        "config_type": "filesystem",
        "name": folder.resolve().name,
        "description": "Tomograms simulated by CryoSiam with their ground truth (user 'truth')",
        "version": "1.0.0",
        "pickable_objects": [*classes, _entry(SAMPLE_OBJECT, False, len(SEMANTIC_CLASSES))],
        "overlay_root": f"local://{folder.resolve() / OVERLAY}",
        "overlay_fs_args": {"auto_mkdir": True},
    }


def _entry(name: str, is_particle: bool, label: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "is_particle": is_particle, "label": label, "color": _colour(label), **more}


def _colour(label: int) -> list[int]:
    """Return red, green, blue and opacity; hues a golden turn apart stay distinct however many there are."""
    saturation, value = _SATURATION_AND_VALUE[label % len(_SATURATION_AND_VALUE)]
    rgb = colorsys.hsv_to_rgb(label * _GOLDEN_TURN % 1.0, saturation, value)
    return [*(round(255 * part) for part in rgb), 255]
