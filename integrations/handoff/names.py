"""Find out which run of a project is which tomogram of another program, and say how."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.integrations.star.core_names import core_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryosiam.integrations.handoff.known import KnownTomogram

_SHOWN: Final = 5


@dataclass(frozen=True)
class Match:
    """A run and the tomogram it is.

    Parameters
    ----------
    tomogram
        The other program's tomogram.
    how
        By what it was recognised; empty where both have one name.
    """

    tomogram: KnownTomogram
    how: str = ""


def match_names(
    runs: Sequence[str],
    tomograms: Sequence[KnownTomogram],
    where: str,
    given: Mapping[str, str] | None = None,
    paths: Mapping[str, str] | None = None,
) -> dict[str, Match]:
    """Return the tomogram of every run that has one.

    What the user says comes first, then the path of the reconstruction, the name, the file name of the reconstruction,
    and last the name without what programs add to it.

    Parameters
    ----------
    runs
        Names of the runs.
    tomograms
        What the other program knows.
    where
        The metadata, for messages.
    given
        Run -> name of its tomogram, from the user.
    paths
        Run -> file of its tomogram.

    Raises
    ------
    InputError
        If a run fits two tomograms, two runs fit one, or the user names what is not there.
    """
    indices = _indices(tomograms)
    by_name = {tomogram.name: tomogram for tomogram in tomograms}
    _refuse_unknown(given or {}, by_name, where)
    matches: dict[str, Match] = {}
    for run in runs:
        if given and run in given:
            matches[run] = Match(by_name[given[run]], "as you said")
            continue
        for how, keys in indices:
            found = next((keys[key] for key in _keys(run, how, paths or {}) if key in keys), [])
            if len(found) > 1:
                names = " and ".join(sorted(tomogram.name for tomogram in found)[:_SHOWN])
                raise InputError(f"run '{run}' may be {names} of {where}; say which with --name {run}=NAME")
            if found:
                matches[run] = Match(found[0], how)
                break
    _refuse_shared(matches, where)
    return matches


def missing_run(run: str, names: Sequence[str], where: str) -> InputError:
    """Return the error for a run that is none of ``names``."""
    near = difflib.get_close_matches(run, names, n=3, cutoff=0.5) or sorted(names)[:_SHOWN]
    there = f"there: {', '.join(near)}" if near else "it names no tomogram"
    return InputError(f"run '{run}' is not in {where} ({there}); say which it is with --name {run}=NAME")


_PATH, _SAME, _FILE, _CORE = (
    "by the path of its reconstruction",
    "",
    "by the file name of its reconstruction",
    "by its name without what programs add",
)


def _keys(run: str, how: str, paths: Mapping[str, str]) -> list[str]:
    if how == _PATH:
        # Paths in metadata start at the project's folder, ours anywhere above it.
        parts = PurePosixPath(paths.get(run, "")).parts
        return ["/".join(parts[start:]).removeprefix("//") for start in range(len(parts))]
    return [core_name(run)] if how == _CORE else [run]


def _indices(tomograms: Sequence[KnownTomogram]) -> list[tuple[str, dict[str, list[KnownTomogram]]]]:
    def index(keys_of: list[set[str]]) -> dict[str, list[KnownTomogram]]:
        table: dict[str, list[KnownTomogram]] = defaultdict(list)
        for tomogram, keys in zip(tomograms, keys_of, strict=True):
            for key in keys - {""}:
                table[key].append(tomogram)
        return table

    return [
        (_PATH, index([set(tomogram.paths) for tomogram in tomograms])),
        (_SAME, index([{tomogram.name} for tomogram in tomograms])),
        (_FILE, index([set(tomogram.file_names) for tomogram in tomograms])),
        (_CORE, index([{core_name(name) for name in (t.name, *t.file_names)} for t in tomograms])),
    ]


def _refuse_unknown(given: Mapping[str, str], by_name: Mapping[str, KnownTomogram], where: str) -> None:
    for run, name in given.items():
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.5) or sorted(by_name)[:_SHOWN]
            raise InputError(f"--name {run}={name}: there is no '{name}' in {where} (there: {', '.join(near)})")


def _refuse_shared(matches: Mapping[str, Match], where: str) -> None:
    counts = Counter(match.tomogram.name for match in matches.values())
    name, count = counts.most_common(1)[0] if counts else ("", 0)
    if count > 1:
        runs = " and ".join(run for run, match in matches.items() if match.tomogram.name == name)
        raise InputError(f"runs {runs} are all '{name}' of {where}; choose one with --run, or say with --name RUN=NAME")
