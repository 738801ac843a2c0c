"""Frames of the tomograms that a particle file names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.frames import doubts, frame_of, frames_of, known_tomograms, naming
from cryosiam.integrations.handoff.known import KnownTomogram
from cryosiam.integrations.handoff.names import Match, match_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryosiam.integrations.handoff.frames import FrameFacts, PickedTomogram
    from cryosiam.integrations.star.frame import TomogramFrame


@dataclass(frozen=True)
class NamedFrames:
    """Frames of the tomograms that a file names.

    Parameters
    ----------
    by_name
        Frame of every name that is a run of the project.
    unknown
        The names that are none.
    notes
        Sentences on how names were matched and what was not checked.
    """

    by_name: Mapping[str, TomogramFrame]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]


def frames_of_names(
    names: Sequence[str], runs: Sequence[str], picked: Callable[[str], PickedTomogram], facts: FrameFacts
) -> NamedFrames:
    """Return the frames of tomograms that a particle file names.

    Parameters
    ----------
    names
        Names as the file has them, with path and ending.
    runs
        Runs of the project that come into question.
    picked
        Gives the tomogram of a run that positions shall be in.
    facts
        What the user gave.

    Raises
    ------
    InputError
        As `frames_of`; a name that is no run is no error.
    """
    stray = next((run for run in facts.names if run not in runs), None)
    if stray is not None:
        raise InputError(f"--name {stray}={facts.names[stray]}: the project has no run '{stray}'; correct it")
    if list(names) == [""]:
        return _frame_of_nameless(runs, picked, facts)
    listed = known_tomograms(facts, [picked(run) for run in runs] if facts.portal is not None else [])
    where = facts.where or "the file"
    if listed is None:
        named = {name: Match(KnownTomogram(name, tomogram_path=name)) for name in names}
    else:
        named = match_names(names, listed, where, paths={name: name for name in names})
    known = {match.tomogram.name: name for name, match in named.items()}
    given = {run: named[name].tomogram.name if name in named else name for run, name in facts.names.items()}
    matches = match_names(runs, [match.tomogram for match in named.values()], where, given)
    entries = [picked(run) for run in matches]
    frames = {entry.run: frame_of(entry, matches[entry.run].tomogram, facts) for entry in entries}
    by_name = {known[frame.name]: replace(frame, name=known[frame.name]) for frame in frames.values()}
    notes = [*naming(named, where), *naming(matches, where), *doubts(entries, frames, matches, where)]
    return NamedFrames(by_name, tuple(name for name in names if name not in by_name), tuple(dict.fromkeys(notes)))


def _frame_of_nameless(runs: Sequence[str], picked: Callable[[str], PickedTomogram], facts: FrameFacts) -> NamedFrames:
    """Return the frame for a file that names no tomogram: that of the only run."""
    if len(runs) != 1:
        raise InputError("the file does not say which tomogram its particles are of; give that one with --run")
    frames = frames_of([picked(runs[0])], facts)
    return NamedFrames({"": replace(frames.by_run[runs[0]], name="")}, (), frames.notes)
