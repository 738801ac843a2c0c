"""Pickable objects that our products need in the project file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.integrations.copick.config import ADDED_BY, PickableObject, check_name, read_config
from cryosiam.integrations.locks import held
from cryosiam.pipeline.storage import storage_errors, write_text_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_PARTICLES: Final = frozenset({"membrane", "microtubule", "actin", "filament"})
"""Objects that are annotated by segmentation, not by points."""

DEFAULT_RADIUS_ANGSTROM: Final = 50.0
"""Radius of a new particle where none is known; what copick gives objects of the data portal."""

_COLOURS: Final = (
    (0, 117, 220),
    (153, 63, 0),
    (76, 0, 92),
    (0, 92, 49),
    (43, 206, 72),
    (255, 204, 153),
    (148, 255, 181),
    (143, 124, 0),
    (157, 204, 0),
    (194, 0, 136),
    (0, 51, 128),
    (255, 164, 5),
)


def missing_objects(config_path: Path, names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that the project file does not list, in order and once each."""
    there = {entry.name for entry in read_config(config_path).objects}
    return [name for name in dict.fromkeys(names) if name not in there]


def ensure_objects(
    config_path: Path, lock_path: Path, names: Sequence[str], radii_angstrom: Mapping[str, float]
) -> tuple[PickableObject, ...]:
    """Add to the project file the objects it lacks, and return all objects.

    New objects get the smallest free labels. Everything else in the file, and the order of its keys, stays. The file
    is read again under a lock, so that two processes adding objects at once do not lose any.

    Parameters
    ----------
    config_path
        The project's JSON file.
    lock_path
        Lock file to hold while it is rewritten.
    names
        Objects needed.
    radii_angstrom
        Radius of the objects where it is known.

    Raises
    ------
    InputError
        If a name is one that copick cannot store.
    StorageError
        If the file cannot be written.
    """
    for name in names:
        check_name(name, "object name")
    if missing_objects(config_path, names):
        with held(lock_path, f"project file {config_path}", wait=True):
            _add(config_path, missing_objects(config_path, names), radii_angstrom)
    return read_config(config_path).objects


def refuse_missing(config_path: Path, names: Sequence[str]) -> None:
    """Raise `InputError` where the project file lacks an object, saying what to add."""
    missing = missing_objects(config_path, names)
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        raise InputError(f"{config_path} lacks the pickable objects {listed}; add them, or allow adding them")


def _add(config_path: Path, names: Sequence[str], radii_angstrom: Mapping[str, float]) -> None:
    content = json.loads(config_path.read_text(encoding="utf-8"))
    entries = content["pickable_objects"]
    used = {entry.get("label", 1) for entry in entries}
    for name in names:
        label = next(value for value in range(1, len(used) + 2) if value not in used)
        used.add(label)
        entries.append(_entry(name, label, radii_angstrom))
    with storage_errors("cannot add objects to"):
        write_text_whole(config_path.resolve(), json.dumps(content, indent=4, ensure_ascii=False) + "\n")


def _entry(name: str, label: int, radii_angstrom: Mapping[str, float]) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": name,
        "is_particle": name not in NOT_PARTICLES,
        "label": label,
        "color": [*_COLOURS[(label - 1) % len(_COLOURS)], 255],
        "metadata": {ADDED_BY: "cryosiam"},
    }
    if name not in NOT_PARTICLES:
        entry["radius"] = float(radii_angstrom.get(name, DEFAULT_RADIUS_ANGSTROM))
    return entry
