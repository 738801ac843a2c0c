"""Hand particles to other programs and take them back, as a dialect says."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.star.fields import HOW
from cryosiam.integrations.star.frame import coordinate_stem
from cryosiam.integrations.star.losses import losses
from cryosiam.integrations.star.reading import Read, read_particles
from cryosiam.integrations.star.star_writer import refuse_text, write_star
from cryosiam.integrations.star.tables import Facts, FramedPicks, Sheet, tomogram_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cryosiam.integrations.star.dialect import Dialect, Layout
    from cryosiam.integrations.star.star_writer import Table

__all__ = ["FramedPicks", "Read", "Written", "read_particles", "write_particles"]

ALL_SPECIES = "particles"
"""Stands for the species in the name of a file that holds all of them."""


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


@dataclass(frozen=True)
class _File:
    path: Path
    layout: Layout
    tables: Mapping[str, Table]


def write_particles(
    folder: Path,
    dialect: Dialect,
    sets: Sequence[FramedPicks],
    *,
    one_file: bool = False,
    project_root: Path | None = None,
    tomograms_star: Path | None = None,
    overwrite: bool = True,
    dry_run: bool = False,
) -> Written:
    """Write picks as one program wants them.

    All files are computed before the first is written.

    Parameters
    ----------
    folder
        Folder of the files.
    dialect
        What the program wants.
    sets
        Picks of each tomogram; a tomogram may come several times.
    one_file
        Write all species into one file instead of one file per species.
    project_root
        Folder that the other program runs in: paths inside the files are relative to it, or absolute where they lie
        outside. By default ``folder``.
    tomograms_star
        RELION's tomograms.star, for an optimisation set; without it none is written.
    overwrite
        Replace files that are there.
    dry_run
        Compute and check everything, and write nothing.

    Raises
    ------
    InputError
        If there are no picks, something the dialect needs is unknown, or a name cannot stand in the file.
    ProductExistsError
        If a file is there that may not be replaced; nothing is written then.
    StorageError
        If a file cannot be written.
    """
    filled = [entry for entry in sets if len(entry.picks)]
    if not filled:
        raise InputError(f"there are no picks, so nothing was written to {folder}; pick first, or name other picks")
    _check(dialect, filled)
    species = {ALL_SPECIES: filled} if one_file or not dialect.per_species else _by_species(filled)
    plan = _Plan(folder, project_root or folder, tomograms_star, _facts(filled))
    files = [file for name, chosen in species.items() for file in plan.particle_files(dialect, name, chosen)]
    files += [file for name, chosen in species.items() for file in plan.companions(dialect, name, chosen)]
    files += plan.common_companions(dialect, filled)
    there = next((file.path for file in files if file.path.exists()), None)
    if there is not None and not overwrite:
        raise ProductExistsError(f"{there} is there already; give --overwrite or another folder")
    for file in [] if dry_run else files:
        write_star(file.path, file.layout, file.tables)
    return Written([file.path for file in files], losses(dialect, list(species.values()), one_file))


def _check(dialect: Dialect, sets: Sequence[FramedPicks]) -> None:
    for name in sorted({name for entry in sets for name in {entry.frame.name, *entry.picks.class_names}}):
        refuse_text(name, "a name of a tomogram or species")
        if "/" in name or "\\" in name:
            raise InputError(f"'{name}' has a slash in it, which file names cannot have; rename it")
    name_of: dict[str, str] = {}
    for entry in sets:
        _check_rotations(entry)
        path, name = entry.frame.tomogram_path, entry.frame.name
        if path is not None and name_of.setdefault(path, name) != name:
            raise InputError(
                f"tomograms '{name_of[path]}' and '{name}' have the same file {path}; give --tomogram-files a pattern "
                "with {name} in it, such as tomograms/{name}.mrc"
            )
    if dialect.one_size is None:
        return
    sizes = {getattr(entry.frame, dialect.one_size): entry.frame.name for entry in sets}
    if None not in sizes and len(sizes) > 1:
        words = ", ".join(f"'{name}' {size:g} Å" for size, name in sizes.items())
        raise InputError(
            f"the dialect {dialect.name} takes one {dialect.one_size.replace('_angstrom', '').replace('_', ' ')} "
            f"for all tomograms, here are {words}; export the runs of each size into a folder of their own"
        )


def _check_rotations(entry: FramedPicks) -> None:
    rotations = entry.picks.rotations
    if rotations is None:
        return
    finite = np.nan_to_num(rotations, posinf=0, neginf=0)
    products = np.einsum("nij,nkj->nik", finite, finite)
    wrong = ~np.isclose(products, np.eye(3), atol=1e-3).all(axis=(1, 2)) | (np.linalg.det(finite) < 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"the orientation of pick {row + 1} in run '{entry.picks.run}' is not a rotation; mend its matrix"
        )


def _by_species(sets: Sequence[FramedPicks]) -> dict[str, list[FramedPicks]]:
    species: dict[str, list[FramedPicks]] = defaultdict(list)
    for entry in sets:
        names = sorted(set(entry.picks.class_names))
        for name in names:
            picks = entry.picks if len(names) == 1 else entry.picks.of_class(name)
            species[name].append(FramedPicks(entry.frame, picks))
    return dict(sorted(species.items()))


def _facts(sets: Sequence[FramedPicks]) -> Facts:
    names = sorted({name for entry in sets for name in entry.picks.class_names})
    tomograms = dict.fromkeys(entry.frame.name for entry in sets)
    return Facts(
        {name: number for number, name in enumerate(names, start=1)},
        {name: number for number, name in enumerate(tomograms, start=1)},
    )


@dataclass(frozen=True)
class _Plan:
    """Computes the files of one export."""

    folder: Path
    root: Path
    tomograms_star: Path | None
    facts: Facts

    def particle_files(self, dialect: Dialect, species: str, sets: Sequence[FramedPicks]) -> Iterator[_File]:
        groups = _by_tomogram(sets).values() if dialect.per_tomogram else [sets]
        for chosen in groups:
            path = self._path(dialect, species, chosen)
            yield self._file(path, dialect, Sheet(chosen, self.facts))

    def companions(self, dialect: Dialect, species: str, sets: Sequence[FramedPicks]) -> Iterator[_File]:
        """Return the files beside the particles of one species."""
        for layout in dialect.companions:
            if not layout.per_species:
                continue
            files: dict[str, str | Mapping[str, str]] = {}
            if dialect.per_tomogram:
                tomograms = _by_tomogram(sets).items()
                files["import_file"] = {
                    name: self._named(self._path(dialect, species, chosen)) for name, chosen in tomograms
                }
            else:
                files["particles_file"] = self._named(self._path(dialect, species, sets))
            if self.tomograms_star is not None:
                files["tomograms_file"] = self._named(self.tomograms_star)
            yield from self._companion(layout, Sheet(sets, self.facts, files), species)

    def common_companions(self, dialect: Dialect, sets: Sequence[FramedPicks]) -> Iterator[_File]:
        """Return the files beside the particles of all species."""
        for layout in dialect.companions:
            if not layout.per_species:
                yield from self._companion(layout, Sheet(sets, self.facts), ALL_SPECIES)

    def _companion(self, layout: Layout, sheet: Sheet, species: str) -> Iterator[_File]:
        if layout.required or all(isinstance(sheet.table(block), dict) for block in layout.blocks):
            prefix = "" if species == ALL_SPECIES else f"{species}_"
            yield self._file(self.folder / layout.file.format(species=species, species_=prefix), layout, sheet)

    def _file(self, path: Path, layout: Layout, sheet: Sheet) -> _File:
        tables: dict[str, Table] = {}
        for block in layout.blocks:
            table = sheet.table(block)
            if isinstance(table, dict):
                tables[block.name] = table
            elif block.required:
                names = ", ".join(f"'{frame.name}'" for frame in sheet.frames[:3])
                what = HOW.get(table, HOW["optics"] if block.rows == "optics" else f"its {table.replace('_', ' ')}")
                raise InputError(f"for the dialect {layout.name} tomogram {names} lacks {what}")
        return _File(path, layout, tables)

    def _path(self, dialect: Dialect, species: str, sets: Sequence[FramedPicks]) -> Path:
        frame = sets[0].frame
        return self.folder / dialect.file.format(
            species=species, tomogram=frame.name, tomogram_file=coordinate_stem(tomogram_path(frame))
        )

    def _named(self, path: Path) -> str:
        """Return a path as it stands inside a file: relative to the project, or absolute outside of it."""
        absolute, root = Path(os.path.abspath(path)), Path(os.path.abspath(self.root))
        return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()


def _by_tomogram(sets: Sequence[FramedPicks]) -> dict[str, list[FramedPicks]]:
    groups: dict[str, list[FramedPicks]] = defaultdict(list)
    for entry in sets:
        groups[entry.frame.name].append(entry)
    return dict(groups)
