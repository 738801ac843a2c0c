"""Hand particles to other programs and take them back, as a dialect says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.errors import InputError
from cryosiam.integrations.star.reading import Read, read_particles
from cryosiam.integrations.star.star_writer import write_star
from cryosiam.integrations.star.tables import FramedPicks, Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.integrations.star.dialect import Dialect

__all__ = ["FramedPicks", "Read", "Written", "read_particles", "write_particles"]


@dataclass(frozen=True)
class Written:
    """What was written.

    Parameters
    ----------
    paths
        The files, particle files first.
    lost
        Sentences on what the dialect cannot hold.
    """

    paths: list[Path] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def write_particles(
    folder: Path,
    dialect: Dialect,
    sets: Sequence[FramedPicks],
    *,
    one_file: bool = False,
    project_root: Path | None = None,
    tomograms_star: Path | None = None,
) -> Written:
    """Write picks as one program wants them.

    Parameters
    ----------
    folder
        Folder of the files.
    dialect
        What the program wants.
    sets
        Picks of each tomogram.
    one_file
        Write all species into one file instead of one file per species.
    project_root
        Folder that the other program runs in; paths inside files are relative to it. By default ``folder``.
    tomograms_star
        RELION's tomograms.star, for an optimisation set; without it none is written.

    Raises
    ------
    InputError
        If there are no picks, something the dialect needs is unknown, or a name cannot stand in the file.
    StorageError
        If a file cannot be written.
    """
    filled = [entry for entry in sets if len(entry.picks)]
    if not filled:
        raise InputError(f"there are no picks, so nothing was written to {folder}; pick first or name other picks")
    names = sorted({name for entry in filled for name in entry.picks.class_names})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    written = Written()
    for species in ["particles"] if one_file or "{species}" not in dialect.file else names:
        chosen = filled if species not in numbers or one_file else _of_class(filled, species)
        sheet = Sheet(chosen, numbers)
        path = folder / dialect.file.format(species=species)
        tables = {block.name: sheet.table(block) for block in dialect.blocks}
        write_star(path, dialect, {name: table for name, table in tables.items() if table is not None})
        written.paths.append(path)
    return written


def _of_class(sets: Sequence[FramedPicks], species: str) -> list[FramedPicks]:
    chosen = [FramedPicks(entry.frame, entry.picks.of_class(species)) for entry in sets]
    return [entry for entry in chosen if len(entry.picks)]
