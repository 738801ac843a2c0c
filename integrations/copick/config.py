"""Read and check a copick project file."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosiam.errors import InputError
from cryosiam.integrations.copick.library import logging_kept

if TYPE_CHECKING:
    from collections.abc import Iterable

ADDED_BY = "added-by"
"""Key in an object's ``metadata`` that names the program which added it."""

_LATER = {
    "cryoet_data_portal": "the data portal",
    "mlcroissant": "Croissant data sets",
}
_LOCAL = re.compile(r"^(?:file|local)://")
_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*(?:::|://)")
_BAD_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\s_]')
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PickableObject:
    """An object that a project lists as pickable.

    Parameters
    ----------
    name
        Name, without ``_``.
    is_particle
        True where it is annotated by points, False where by segmentation.
    label
        Value in multilabel segmentations.
    radius_angstrom
        Radius, where the project states it.
    added_by_us
        True where a sink of ours added it for a product.
    """

    name: str
    is_particle: bool
    label: int
    radius_angstrom: float | None = None
    added_by_us: bool = False


@dataclass(frozen=True)
class ProjectConfig:
    """A checked project file.

    Parameters
    ----------
    path
        The JSON file.
    content
        What is in it, with relative roots resolved.
    overlay_root, static_root
        Writable and read-only storage, as paths or fsspec addresses; None where there is no static root.
    objects
        The pickable objects, in the file's order.
    """

    path: Path
    content: dict[str, Any]
    overlay_root: str
    static_root: str | None
    objects: tuple[PickableObject, ...]

    @property
    def overlay_folder(self) -> Path | None:
        """Folder of the overlay, or None where it is on another machine."""
        return local_folder(self.overlay_root)

    @property
    def static_folder(self) -> Path | None:
        """Folder of the read-only part, or None where there is none or it is on another machine."""
        return local_folder(self.static_root) if self.static_root is not None else None


def local_folder(root: str) -> Path | None:
    """Return the folder that a storage root means, or None for a remote address."""
    if _REMOTE.match(root) and not _LOCAL.match(root):
        return None
    return Path(_LOCAL.sub("", root))


def check_name(name: str, what: str) -> None:
    r"""Refuse a name that copick would change (it puts ``-`` for ``_``, white space and ``<>:"/\|?*``).

    Raises
    ------
    InputError
        If copick would store another name than the one given.
    """
    clean = _BAD_NAME.sub("-", name).strip("-")
    if clean != name:
        hint = f"use '{clean}'" if clean else "give it a name"
        raise InputError(f"{what} '{name}' has characters that copick cannot store (such as '_'); {hint}")


def read_config(path: Path) -> ProjectConfig:
    """Read a copick project file.

    Raises
    ------
    InputError
        If the file is missing, is not a copick file, has keys that copick does not know, or contradicts itself.
    """
    content = read_json(path)
    _check_type(path, content)
    _check_keys(path, content)
    objects = _objects(path, content["pickable_objects"])
    for key in ("overlay_root", "static_root"):
        if content.get(key) is not None:
            content[key] = _resolved(path, key, content[key])
    _check_with_copick(path, content)
    return ProjectConfig(path, content, content["overlay_root"], content.get("static_root"), objects)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``, keys in the file's order.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no project file {path}; give the path of a copick JSON file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"project file {path} cannot be read ({error.strerror}); give a copick JSON file") from error
    except ValueError as error:
        raise InputError(f"project file {path} is not JSON ({error}); give a copick JSON file") from error
    if not isinstance(content, dict) or "pickable_objects" not in content:
        raise InputError(f"{path} is JSON but not a copick project (no 'pickable_objects'); give a copick JSON file")
    return content


def _check_type(path: Path, content: dict[str, Any]) -> None:
    kind = content.setdefault("config_type", "filesystem")
    if kind in _LATER:
        raise InputError(
            f"{path} is a copick project of type '{kind}'; {_LATER[kind]} cannot be read yet, use 'filesystem'"
        )
    if kind != "filesystem":
        raise InputError(
            f"{path} has the unknown copick config_type '{kind}'; the type that can be read is 'filesystem'"
        )
    if not isinstance(content.get("overlay_root"), str) or not content["overlay_root"]:
        raise InputError(f"{path} has no 'overlay_root'; add the folder that holds the project's data")
    if not isinstance(content.get("static_root"), str | None) or content.get("static_root") == "":
        raise InputError(f"{path} has a 'static_root' that is not a folder name; correct or remove it")


def _check_keys(path: Path, content: dict[str, Any]) -> None:
    with logging_kept():
        from copick.impl.filesystem import CopickConfigFSSpec
        from copick.models import PickableObject as CopickPickableObject

    _refuse_unknown(path, "", content, CopickConfigFSSpec.model_fields)
    entries = content["pickable_objects"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"'pickable_objects' in {path} is not a list of objects; see copick's documentation")
    known = {*CopickPickableObject.model_fields, "go_id"}
    for entry in entries:
        _refuse_unknown(path, f" of object '{entry.get('name', '?')}'", entry, known)


def _refuse_unknown(path: Path, what: str, entry: dict[str, Any], known: Iterable[str]) -> None:
    unknown = sorted(set(entry) - set(known))
    if unknown:
        keys = ", ".join(f"'{key}'" for key in unknown)
        raise InputError(
            f"{path} has keys{what} that copick does not know and would drop: {keys}; correct or remove them"
        )


def _objects(path: Path, entries: list[dict[str, Any]]) -> tuple[PickableObject, ...]:
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or not isinstance(entry.get("is_particle"), bool):
            raise InputError(f"a pickable object in {path} lacks 'name' or 'is_particle' (true or false); add it")
        check_name(name, f"object name in {path}")
        label = entry.get("label", 1)
        if not isinstance(label, int) or isinstance(label, bool) or label < 1:
            raise InputError(f"object '{name}' in {path} has label {label!r}; give it a whole number from 1")
    objects = tuple(
        PickableObject(
            entry["name"],
            entry["is_particle"],
            entry.get("label", 1),
            entry.get("radius"),
            (entry.get("metadata") or {}).get(ADDED_BY) == "cryosiam",
        )
        for entry in entries
    )
    for names in ([entry.name for entry in objects], [entry.label for entry in objects]):
        value, count = Counter[object](names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            shared = ", ".join(f"'{entry.name}'" for entry in objects if value in (entry.name, entry.label))
            kind = "name" if isinstance(value, str) else "label"
            raise InputError(f"{count} pickable objects in {path} have the {kind} {value!r} ({shared}); make it unique")
    return objects


def _resolved(path: Path, key: str, root: str) -> str:
    """Resolve a relative root: copick's meaning (the working folder) first, then the folder of the JSON file."""
    folder = local_folder(root)
    if folder is None or folder.is_absolute():
        return root
    beside = path.resolve().parent / folder
    if not folder.exists() and beside.exists():
        _log.warning("%s '%s' is taken from the folder of %s: %s", key, root, path.name, beside)
        return str(beside)
    return str(folder.resolve())


def _check_with_copick(path: Path, content: dict[str, Any]) -> None:
    from copick.impl.filesystem import CopickConfigFSSpec
    from pydantic import ValidationError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            CopickConfigFSSpec(**content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is not a valid copick project: '{place}': {first['msg']}; correct it") from error
