"""Particles of other programs' files into picks of a copick project."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain.picks import join_picks
from cryosiam.errors import InputError
from cryosiam.integrations.copick.imported_picks import ImportedPicks, PicksImporter
from cryosiam.integrations.copick.picked_tomogram import picked_tomogram
from cryosiam.integrations.copick.project import CopickProject
from cryosiam.integrations.handoff.frames import FrameFacts
from cryosiam.integrations.handoff.named_frames import NamedFrames, frames_of_names
from cryosiam.integrations.star.exchange import read_particles
from cryosiam.integrations.star.star_file import read_star

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cryosiam.domain import Picks
    from cryosiam.integrations.star.dialect import Dialect
    from cryosiam.integrations.star.exchange import FramedPicks
    from cryosiam.integrations.star.frame import TomogramFrame
    from cryosiam.ports import ProductKey

_SHOWN: Final = 5


@dataclass(frozen=True)
class ImportRequest:
    """What the user asks for.

    Parameters
    ----------
    file
        Particle file.
    config_path
        The copick project's JSON file.
    key
        User and session of the picks.
    dialect
        Dialect of the file; by default it is recognised from the columns.
    objects
        Class of the file -> object of the project; the empty class stands for all that are not named.
    runs
        Runs that come into question; all for None.
    tomogram
        Tomogram that positions shall be in, such as ``wbp@10.0``; needed where a run has several of different sizes.
    facts
        Where pixel sizes, unbinned sizes and names come from.
    skip_unknown
        Leave out particles of tomograms that are no run of the project, which is an error otherwise.
    add_objects, overwrite
        Whether objects may be added to the project file, and picks replaced.
    """

    file: Path
    config_path: Path
    key: ProductKey
    dialect: Dialect | None = None
    objects: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[str, ...] | None = None
    tomogram: str | None = None
    facts: FrameFacts = field(default_factory=FrameFacts)
    skip_unknown: bool = False
    add_objects: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class Import:
    """Picks ready to be written.

    Parameters
    ----------
    sets
        Picks of every object in every run.
    notes
        Sentences that the user should read.
    new_objects
        Objects that will be added to the project file.
    """

    sets: tuple[ImportedPicks, ...]
    notes: tuple[str, ...]
    new_objects: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of particles of every object."""
        counts: Counter[str] = Counter()
        for entry in self.sets:
            counts[entry.object_name] += len(entry.picks)
        return dict(sorted(counts.items()))

    @property
    def runs(self) -> list[str]:
        """The runs, sorted."""
        return sorted({entry.picks.run for entry in self.sets})


def prepare_import(request: ImportRequest) -> Import:
    """Read the particles, find out which runs and objects they belong to, and check that they can be written.

    Nothing is written.

    Raises
    ------
    InputError
        If the file cannot be used, names tomograms that are no runs, lies outside of them, or names no classes and the
        user none either.
    ProductExistsError
        If picks of that user, session and object are there already.
    StorageError
        If the project cannot be written.
    """
    project = CopickProject(request.config_path)
    runs = project.select_runs(request.runs, number_is_fine=True)
    writer = importer(request)
    facts = _with_tomograms_star(request)
    found: list[NamedFrames] = []

    def frames_for(names: list[str]) -> Sequence[TomogramFrame]:
        pick = cache(lambda run: picked_tomogram(project, run, request.tomogram, ()))
        found.append(frames_of_names(names, runs, pick, facts))
        _refuse_unknown(request, found[0])
        return list(found[0].by_name.values())

    read = read_particles(request.file, frames_for, request.dialect)
    sets = _joined(request, [entry for framed in read.sets for entry in _by_object(request, framed)])
    new_objects = writer.check(sets)
    notes = [*read.notes, *(note for frames in found for note in frames.notes), *_outside(request, read.sets)]
    return Import(tuple(sets), tuple(dict.fromkeys(notes)), tuple(new_objects))


def _with_tomograms_star(request: ImportRequest) -> FrameFacts:
    """Return the facts, with the ``tomograms.star`` that an optimisation set names where the user gives no file."""
    facts = request.facts
    if facts.where or request.file.suffix != ".star" or not _is_small(request.file):
        return facts
    for block in read_star(request.file).blocks:
        if _TOMOGRAMS_FILE in block:
            name = block.text(_TOMOGRAMS_FILE)[0]
            folders = (Path.cwd(), *request.file.absolute().parents)
            path = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if path is None:
                raise InputError(f"{request.file} names {name}, which is not there; give it with --tomograms-star")
            return replace(facts, tomograms_star=path)
    return facts


_TOMOGRAMS_FILE: Final = "rlnTomoTomogramsFile"
_SMALL_BYTES: Final = 2**16


def _is_small(path: Path) -> bool:
    """Tell whether a file may be an optimisation set, which is a few lines."""
    return path.is_file() and path.stat().st_size <= _SMALL_BYTES


def importer(request: ImportRequest) -> PicksImporter:
    """Return what writes the picks.

    Raises
    ------
    InputError
        If the project cannot be written into, or copick cannot store user or session.
    """
    return PicksImporter(request.config_path, request.key, request.add_objects, request.overwrite)


def write_import(prepared: Import, request: ImportRequest) -> list[Path]:
    """Write all picks, or none.

    Raises
    ------
    CryoSiamError
        As `PicksImporter.write`.
    """
    return importer(request).write(prepared.sets)


def _refuse_unknown(request: ImportRequest, frames: NamedFrames) -> None:
    if not frames.unknown or (request.skip_unknown and frames.by_name):
        return
    names = ", ".join(frames.unknown[:_SHOWN])
    more = f" and {len(frames.unknown) - _SHOWN} more" if len(frames.unknown) > _SHOWN else ""
    hint = "say which they are with --name RUN=NAME"
    if frames.by_name:
        hint += ", or leave them out with --skip-unknown"
    where = f"{request.facts.where} and runs of {request.config_path}" if request.facts.where else request.config_path
    raise InputError(f"{request.file} names tomograms that are not among the runs of {where}: {names}{more}; {hint}")


def _by_object(request: ImportRequest, framed: FramedPicks) -> list[ImportedPicks]:
    picks = framed.picks
    objects = np.array([_object(request, name) for name in picks.class_names], dtype=object)
    return [
        ImportedPicks(name, picks.select(objects == name), framed.frame.voxel_size_angstrom, request.file.name)
        for name in sorted(set(objects.tolist()))
    ]


def _joined(request: ImportRequest, sets: Sequence[ImportedPicks]) -> list[ImportedPicks]:
    """Return one set for each object of a run: a list may name several files of one tomogram."""
    of_one: dict[tuple[str, str], list[ImportedPicks]] = {}
    for entry in sets:
        of_one.setdefault((entry.picks.run, entry.object_name), []).append(entry)
    joined = []
    for (run, name), entries in of_one.items():
        parts = [entry.picks for entry in entries]
        if len({picks.rotations is None for picks in parts}) > 1:
            raise InputError(
                f"of the '{name}' in run '{run}', some files that {request.file} lists have orientations and some have "
                "none; import the files one by one, each with a --session-id of its own"
            )
        joined.append(replace(entries[0], picks=join_picks(parts)))
    return joined


def _object(request: ImportRequest, class_name: str) -> str:
    if class_name in request.objects:
        return request.objects[class_name]
    if "" in request.objects:
        return request.objects[""]
    if not class_name:
        raise InputError(f"{request.file} does not say what its particles are; give --object NAME")
    if class_name.isdigit():
        raise InputError(
            f"{request.file} names its classes by number only; give --object NAME, or --object {class_name}=NAME for "
            "each class"
        )
    return class_name


def _outside(request: ImportRequest, sets: Sequence[FramedPicks]) -> list[str]:
    """Return a sentence where particles lie outside of their tomogram.

    Raises
    ------
    InputError
        If most do: then unit, centre or tomogram is not the one of the file.
    """
    strays = {framed.frame.run: int(_is_outside(framed.frame, framed.picks).sum()) for framed in sets}
    count, total = sum(strays.values()), sum(len(framed.picks) for framed in sets)
    if not count:
        return _crowded(request, sets)
    worst = max(strays, key=lambda run: strays[run])
    told = f"{count} of {total} particles in {request.file} lie outside of their tomogram, most in run '{worst}'"
    if 2 * count > total:
        raise InputError(
            f"{told}; the pixel size, the unbinned size or the dialect is not that of the file: see "
            f"'cryosiam check {request.file}', then give --tomograms-star or --from"
        )
    return [told]


def _crowded(request: ImportRequest, sets: Sequence[FramedPicks]) -> list[str]:
    """Return a sentence where all particles lie in the corner or the middle, as those in a coarser unit do."""
    parts = [
        framed.picks.positions_angstrom / framed.frame.voxel_size_angstrom / framed.frame.size_xyz
        for framed in sets
        if framed.frame.voxel_size_angstrom is not None and framed.frame.size_xyz is not None
    ]
    places = np.concatenate(parts) if parts else np.zeros((0, 3))
    if len(places) < _FEWEST:
        return []
    corner, middle = places.max() < _CROWDED, np.abs(places - 0.5).max() < _CROWDED / 2
    if not (corner or middle):
        return []
    return [
        f"all {len(places)} particles in {request.file} lie in {'a corner' if corner else 'the middle'} of their "
        f"tomograms; their coordinates may be in a coarser unit: see 'cryosiam check {request.file}'"
    ]


_FEWEST: Final = 20
"""Particles that are too few to tell."""
_CROWDED: Final = 0.25
"""Part of the size along x, y and z, as in the rule of ``cryosiam check``."""


def _is_outside(frame: TomogramFrame, picks: Picks) -> NDArray[np.bool_]:
    if frame.voxel_size_angstrom is None or frame.size_xyz is None:
        return np.zeros(len(picks), bool)
    # The outermost voxels end half a voxel beyond their centres.
    voxels = picks.positions_angstrom / frame.voxel_size_angstrom
    beyond = (voxels < -_HALF_VOXEL) | (voxels > np.array(frame.size_xyz) - _HALF_VOXEL)
    return np.asarray(beyond.any(axis=1))


_HALF_VOXEL: Final = 0.5
