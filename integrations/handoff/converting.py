"""Turn a particle file of one program into those of another, without a copick project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.frames import FrameFacts, PickedTomogram, known_tomograms
from cryosiam.integrations.handoff.named_frames import frames_of_names
from cryosiam.integrations.star.core_names import core_name
from cryosiam.integrations.star.exchange import Written, write_particles
from cryosiam.integrations.star.reading import read_particles
from cryosiam.integrations.star.tables import FramedPicks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryosiam.integrations.handoff.known import KnownTomogram
    from cryosiam.integrations.star.dialect import Dialect
    from cryosiam.integrations.star.frame import TomogramFrame


@dataclass(frozen=True)
class ConvertRequest:
    """What to convert.

    Parameters
    ----------
    file
        Particles, or a list of files of them.
    source
        What its columns mean; recognised for None.
    target
        What to write.
    facts
        How tomograms lie.
    species
        Name of the particles, where the file gives none.
    out
        Folder of the files.
    overwrite
        Replace files that are there.
    """

    file: Path
    source: Dialect | None
    target: Dialect
    facts: FrameFacts
    species: str
    out: Path
    overwrite: bool


@dataclass(frozen=True)
class Converted:
    """What was read and written.

    Parameters
    ----------
    written
        The files, and what they cannot hold.
    count
        Number of particles.
    notes
        Sentences on what was left out or taken for granted.
    """

    written: Written
    count: int
    notes: tuple[str, ...]


def convert_particles(request: ConvertRequest) -> Converted:
    """Read particles and write them as another program wants them.

    Raises
    ------
    CryoSiamError
        If the file or its tomograms cannot be used, something the target needs is unknown, or a file is there already.
    """
    notes: list[str] = []
    listed = known_tomograms(request.facts, [])
    read = read_particles(request.file, lambda names: _frames(request.facts, listed, names, notes), request.source)
    written_names = {core_name(tomogram.name): tomogram.name for tomogram in listed or ()}
    sets = [_named(entry, written_names, request.species) for entry in read.sets]
    written = write_particles(
        request.out,
        request.target,
        sets,
        project_root=Path(),
        tomograms_star=request.facts.tomograms_star,
        overwrite=request.overwrite,
    )
    return Converted(written, sum(len(entry.picks) for entry in sets), (*read.notes, *notes))


def _named(entry: FramedPicks, written_names: Mapping[str, str], species: str) -> FramedPicks:
    """Give the tomogram its name in the program's list, and particles whose class has no name that of the species."""
    names = [
        name if name and not name.isdigit() else f"{species}-{name}" if name else species
        for name in entry.picks.class_names
    ]
    run = core_name(entry.frame.name)
    frame = replace(entry.frame, name=written_names.get(run, run))
    return FramedPicks(frame, replace(entry.picks, class_names=tuple(names)))


def _frames(
    facts: FrameFacts, listed: Sequence[KnownTomogram] | None, names: Sequence[str], notes: list[str]
) -> list[TomogramFrame]:
    picked = [_picked(tomogram, facts) for tomogram in listed or ()]
    if listed is None:
        picked = [PickedTomogram(run, facts.voxel_size_angstrom) for run in dict.fromkeys(map(core_name, names))]
    by_run = {tomogram.run: tomogram for tomogram in picked}
    found = frames_of_names(names, list(by_run), by_run.__getitem__, facts)
    if found.unknown and not found.by_name:
        raise InputError(f"{facts.where} has no tomogram '{found.unknown[0]}'; give the file that has it")
    notes += found.notes
    return list(found.by_name.values())


def _picked(tomogram: KnownTomogram, facts: FrameFacts) -> PickedTomogram:
    """Return the reconstruction that a program names as the tomogram that was picked."""
    run = core_name(tomogram.name)
    if tomogram.pixel_size_angstrom is None or tomogram.binning is None:
        return PickedTomogram(run, facts.voxel_size_angstrom)
    voxel_size = tomogram.pixel_size_angstrom * tomogram.binning
    if tomogram.unbinned_size_xyz is None:
        return PickedTomogram(run, voxel_size)
    x, y, z = (round(size / tomogram.binning) for size in tomogram.unbinned_size_xyz)
    return PickedTomogram(run, voxel_size, (x, y, z))
