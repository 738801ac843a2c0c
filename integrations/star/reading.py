"""Take particles from the files of any program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import Picks
from cryosiam.errors import InputError
from cryosiam.integrations.star.columns import Columns
from cryosiam.integrations.star.core_names import core_name
from cryosiam.integrations.star.frame import TomogramFrame
from cryosiam.integrations.star.particle_file import ParticleTable, read_tables
from cryosiam.integrations.star.tables import FramedPicks
from cryosiam.integrations.star.units import check_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.integrations.star.dialect import Dialect

Frames = Sequence[TomogramFrame] | Callable[[list[str]], Sequence[TomogramFrame]]
_SHOWN: Final = 5


@dataclass(frozen=True)
class Read:
    """What was read.

    Parameters
    ----------
    sets
        Picks of each tomogram, in the order of the file.
    notes
        Sentences on what was left out or taken for granted.
    """

    sets: list[FramedPicks] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_particles(
    path: Path,
    frames: Frames | None,
    dialect: Dialect | None = None,
    *,
    project_root: Path | None = None,
) -> Read:
    """Read particles as picks.

    Rotations of subtomogram and particle are multiplied and origins applied. Where the file has no names of classes,
    the number of the class stands for it, or nothing. Without scores all are 1.

    Parameters
    ----------
    path
        Particles in a STAR file, a Dynamo table or a CSV file; or a list of such files: an optimisation set, a list for
        RELION's import job, the ``tomos.star`` of RELION 3.1.
    frames
        Frames of the tomograms, matched by name; or a function from the names as they stand in the file to frames of
        these very names; where the file names none, it is asked for the frame of the empty name. Tomograms that have
        none are left out and told. None where the file says all that is needed.
    dialect
        What the columns mean; by default it is recognised.
    project_root
        Folder that paths in a list are relative to.

    Raises
    ------
    InputError
        If the file cannot be read, holds no particles, fits no tomogram, or something needed is unknown.
    """
    path = Path(path)
    tables = read_tables(path, dialect, project_root)
    if not any(len(table.rows) for table in tables):
        raise InputError(f"{path} holds no particles; give a file that does")
    names = [table.tomograms() for table in tables]
    read = Read()
    frame_of = _matched(path, names, frames, read.notes)
    for table, tomograms in zip(tables, names, strict=True):
        read.sets.extend(_sets(table, tomograms, frame_of, read.notes))
    return read


def _matched(
    path: Path, names: Sequence[list[str] | None], frames: Frames | None, notes: list[str]
) -> dict[str, TomogramFrame]:
    """Return the frame of every tomogram that has one, by its name in the file; '' where the file names none."""
    given = [] if frames is None or callable(frames) else list(frames)
    if any(tomograms is None for tomograms in names):
        alone = list(frames([""])) if callable(frames) else given
        if len(alone) != 1:
            raise InputError(f"{path} does not say which tomogram its particles are of; give that one alone")
        return {"": alone[0]}
    distinct = list(dict.fromkeys(name for tomograms in names for name in dict.fromkeys(tomograms or ())))
    if frames is None:
        return {name: TomogramFrame(core_name(name), core_name(name)) for name in distinct}
    found = {frame.name: frame for frame in frames(distinct)} if callable(frames) else _by_name(distinct, given)
    left = [name for name in distinct if name not in found]
    if not found:
        there = ", ".join(f"'{frame.name}'" for frame in given[:_SHOWN]) or "none"
        raise InputError(f"{path} names tomogram '{distinct[0]}', but the known ones are {there}; correct the names")
    if left:
        listed = ", ".join(f"'{name}'" for name in left[:_SHOWN])
        notes.append(f"particles of {len(left)} tomograms that are not known were left out: {listed}")
    return found


def _by_name(names: Sequence[str], frames: Sequence[TomogramFrame]) -> dict[str, TomogramFrame]:
    """Return the frame of every tomogram that has one: by its name, its file, or the name without what programs add."""
    ways: list[tuple[Callable[[str], str], Callable[[TomogramFrame], str | None]]] = [
        (str, lambda frame: frame.name),
        (str, lambda frame: frame.tomogram_path),
        (_without_ending, lambda frame: _without_ending(frame.name)),
        (core_name, lambda frame: core_name(frame.name)),
        (core_name, lambda frame: frame.tomogram_path and core_name(frame.tomogram_path)),
    ]
    found: dict[str, TomogramFrame] = {}
    for key_of_name, key_of_frame in ways:
        by_key: dict[str, list[TomogramFrame]] = defaultdict(list)
        for frame in dict.fromkeys(frames):
            by_key[key_of_frame(frame) or ""].append(frame)
        for name in names:
            fitting = by_key.get(key_of_name(name), []) if name not in found else []
            if len(fitting) > 1:
                listed = ", ".join(f"'{frame.name}'" for frame in fitting)
                raise InputError(f"tomogram '{name}' may be any of {listed}; rename one")
            if fitting:
                found[name] = fitting[0]
    return found


def _without_ending(name: str) -> str:
    return Path(name).name.removesuffix(".tomostar")


def _sets(
    table: ParticleTable,
    tomograms: list[str] | None,
    frame_of: dict[str, TomogramFrame],
    notes: list[str],
) -> list[FramedPicks]:
    columns = Columns(table)
    rotations, scores, classes, instances, radii = (
        columns.rotations(),
        columns.scores(),
        columns.classes(),
        columns.instances(),
        columns.radii(),
    )
    sets = []
    for name, rows in _rows_by_name(tomograms, len(table.rows)).items():
        frame = frame_of.get(name)
        if frame is None:
            continue
        frame = replace(frame, voxel_size_angstrom=frame.voxel_size_angstrom or columns.stated_voxel_size(rows))
        positions = columns.positions(frame, rows)
        picks = Picks(
            frame.run,
            positions,
            scores[rows],
            tuple(classes[rows].tolist()),
            instances[rows],
            None if rotations is None else rotations[rows],
            None if radii is None else radii[rows],
        )
        sets.append(FramedPicks(frame, picks))
    notes.extend(columns.notes)
    check_unit(table, columns.unit, sets, notes)
    return sets


def _rows_by_name(tomograms: list[str] | None, count: int) -> dict[str, NDArray[np.int64]]:
    if tomograms is None:
        return {"": np.arange(count)}
    number_of = {name: number for number, name in enumerate(dict.fromkeys(tomograms))}
    numbers = np.fromiter(map(number_of.__getitem__, tomograms), np.int64, count)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=len(number_of)))
    return dict(zip(number_of, np.split(order, ends[:-1]), strict=True))
