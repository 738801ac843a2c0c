"""Find pick sets by copick's URIs and read them fast."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.ome import ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.integrations.copick.project import CopickProject

_IDENTITY: Final = np.eye(3)
_ORTHONORMAL: Final = 1e-3
_SHOWN: Final = 8


@dataclass(frozen=True)
class PickSet:
    """A set of picks in a project, not read yet.

    Parameters
    ----------
    run, object_name, user_id, session_id
        What names it in copick.
    handle
        copick's object.
    """

    run: str
    object_name: str
    user_id: str
    session_id: str
    handle: Any

    @property
    def uri(self) -> str:
        """Name in copick's manner, such as ``ribosome:cryosiam/1``."""
        return f"{self.object_name}:{self.user_id}/{self.session_id}"


@dataclass(frozen=True)
class StoredPicks:
    """Columns of a pick set.

    Parameters
    ----------
    positions_angstrom
        ``(n, 3)`` positions (x, y, z) in Å, shifts added.
    rotations
        ``(n, 3, 3)`` object -> tomogram matrices, or None where the set says that orientations are unknown, or every
        matrix is the identity: that is what programs write who know of none.
    scores
        ``(n,)`` float64.
    instance_ids
        ``(n,)`` int64.
    tomogram
        The tomogram that was picked, such as ``wbp@10``, where the file tells.
    """

    positions_angstrom: NDArray[np.float64]
    rotations: NDArray[np.float64] | None
    scores: NDArray[np.float64]
    instance_ids: NDArray[np.int64]
    tomogram: str | None

    def __len__(self) -> int:
        return len(self.scores)


def find_pick_sets(project: CopickProject, runs: Sequence[str], uris: Sequence[str]) -> list[PickSet]:
    """Return the pick sets of some runs that the URIs mean, each once, sorted by run, object, user and session.

    Parameters
    ----------
    project
        The project.
    runs
        Names of runs.
    uris
        ``object:user/session`` in copick's manner; parts may be missing or shell patterns, or regular expressions after
        ``re:``.

    Raises
    ------
    InputError
        If a URI is malformed, or none of the runs has picks that it means.
    """
    filters = {uri: _filter(uri) for uri in uris}
    there = [_pick_set(run, handle) for run in runs for handle in project.pick_sets(run)]
    chosen = {uri: [entry for entry in there if matches(entry)] for uri, matches in filters.items()}
    for uri, entries in chosen.items():
        if not entries:
            others = sorted({entry.uri for entry in there})
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            listed = ", ".join(others[:_SHOWN]) + more or "no picks at all"
            raise InputError(f"there are no picks '{uri}' in {project.config.path}; there are {listed}")
    found = {id(entry): entry for entries in chosen.values() for entry in entries}
    return sorted(found.values(), key=lambda entry: (entry.run, entry.object_name, entry.user_id, entry.session_id))


def read_pick_set(entry: PickSet) -> StoredPicks:
    """Read a pick set.

    copick's own reader makes an object of every point, which takes a minute for half a million.

    Raises
    ------
    InputError
        If the file is damaged, is not in Å, or holds a matrix that is no rotation or a number that is not finite.
    """
    handle = entry.handle
    try:
        with logging_kept(), handle.fs.open(handle.path, "rb") as stream:
            content = json.load(stream)
        return _columns(content)
    except OSError as error:
        raise InputError(
            f"picks {handle.path} cannot be read ({error}); correct the path or remove the file"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = str(error) if isinstance(error, ValueError) else f"it lacks or misuses {error}"
        raise InputError(f"picks {handle.path} are damaged: {what}; correct or remove the file") from error


def _columns(content: dict[str, Any]) -> StoredPicks:
    unit = content.get("unit", "angstrom")
    if unit != "angstrom":
        raise ValueError(f"the unit is '{unit}', not angstrom")
    points = content.get("points") or []
    count = len(points)
    locations = [point["location"] for point in points]
    positions = np.array([(at["x"], at["y"], at["z"]) for at in locations], np.float64).reshape(count, 3)
    scores = np.array([_default(point.get("score"), 1.0) for point in points], np.float64)
    instance_ids = np.array([_default(point.get("instance_id"), 0) for point in points], np.int64)
    rows = chain.from_iterable(point.get("transformation_") or _NO_TRANSFORM for point in points)
    transforms = np.fromiter(chain.from_iterable(rows), np.float64, 16 * count).reshape(count, 4, 4)
    positions = positions + transforms[:, :3, 3]
    if not (np.isfinite(positions).all() and np.isfinite(scores).all()):
        raise ValueError("a position or score is not a finite number")
    maker = content.get(ATTRIBUTE) or content.get(IMPORTED) or {}
    return StoredPicks(positions, _rotations(content, transforms), scores, instance_ids, maker.get("tomogram"))


IMPORTED: Final = "cryosiam-import"
"""Key of a pick file that tells where imported picks come from; copick ignores it."""

_NO_TRANSFORM: Final = np.eye(4).tolist()


def _default(value: Any, default: float) -> Any:
    return default if value is None else value


def _rotations(content: dict[str, Any], transforms: NDArray[np.float64]) -> NDArray[np.float64] | None:
    rotations = transforms[:, :3, :3]
    trusted = content.get("trust_orientation")
    if trusted is False or (rotations == _IDENTITY).all():
        return None
    skew = np.abs(rotations @ rotations.transpose(0, 2, 1) - _IDENTITY).max(axis=(1, 2))
    wrong = np.flatnonzero(~(skew < _ORTHONORMAL) | ~(np.linalg.det(rotations) > 0))
    if len(wrong):
        raise ValueError(f"the matrix of point {wrong[0]} is not a rotation")
    return rotations


def _pick_set(run: str, handle: Any) -> PickSet:
    return PickSet(run, str(handle.pickable_object_name), str(handle.user_id), str(handle.session_id), handle)


def _filter(uri: str) -> Any:
    """Return a function that tells whether a pick set is one that ``uri`` means."""
    import re
    from fnmatch import fnmatchcase

    with logging_kept():
        from copick.util.uri import parse_copick_uri
    try:
        parsed = parse_copick_uri(uri, "picks")
        names = [parsed[key] for key in ("object_name", "user_id", "session_id")]
        if not all(names):
            raise ValueError("a part is empty")
        if parsed["pattern_type"] == "regex":
            patterns = [re.compile(name if name != "*" else ".*") for name in names]
            return lambda entry: all(p.fullmatch(part) for p, part in zip(patterns, _parts(entry), strict=True))
    except (ValueError, re.error) as error:
        raise InputError(
            f"'{uri}' is no name of picks ({error}); write it as object:user/session, such as ribosome:cryosiam/1"
        ) from error
    return lambda entry: all(fnmatchcase(part, name) for part, name in zip(_parts(entry), names, strict=True))


def _parts(entry: PickSet) -> tuple[str, str, str]:
    return entry.object_name, entry.user_id, entry.session_id
