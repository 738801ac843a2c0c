"""Find the particles in a file of any program, and in which dialect they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.star.dialect import DIALECTS, Dialect, load_dialect
from cryosiam.integrations.star.frame import coordinate_stem
from cryosiam.integrations.star.plain_tables import read_csv_table, read_dynamo_table, read_number_names
from cryosiam.integrations.star.star_file import StarBlock, StarFile, read_star

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RECOGNISED: Final = ("csv", "relion5", "picks", "m-species", "relion4", "relion31", "coordinates")
"""Dialects that a file is compared with, in this order; those left out have the columns of one of these."""

_IMPORT_FILE: Final = "rlnTomoImportParticleFile"
_PARTICLES_FILE: Final = "rlnTomoParticlesFile"


@dataclass(frozen=True)
class ParticleTable:
    """Particles as they stand in a file.

    Parameters
    ----------
    path
        The file.
    rows
        A row per particle.
    dialect
        What the columns mean.
    optics
        A row per optics group, where there are any.
    tomogram
        Name of the tomogram where the file that lists this one says it.
    """

    path: Path
    rows: StarBlock
    dialect: Dialect
    optics: StarBlock | None = None
    tomogram: str | None = None

    def tomograms(self) -> list[str] | None:
        """Return the tomogram of every particle as the file names it, or None where it does not."""
        for field in ("run", "tomogram_name", "tomostar_name", "tomogram_path", "tomogram_number"):
            column = self.dialect.column(field)
            if column is not None and column in self.rows:
                names = self.rows.text(column)
                return self._by_number(names) if field == "tomogram_number" else names
        for column in ("rlnMicrographName", "rlnTomoName"):
            if column in self.rows:
                return self.rows.text(column)
        return None if self.tomogram is None else [self.tomogram] * len(self.rows)

    def _by_number(self, numbers: list[str]) -> list[str]:
        """Return the files that a Dynamo table map file gives for the numbers, or the numbers."""
        stem = self.path.name.removesuffix(".gz").removesuffix(".tbl")
        maps = [self.path.with_name(name) for name in (f"{stem}.doc", f"{stem}_tomograms.doc", "indices_column20.doc")]
        found = next((path for path in maps if path.is_file()), None)
        whole = [str(int(float(number))) for number in numbers]
        if found is None:
            return whole
        names = read_number_names(found)
        missing = sorted(set(whole) - set(names))
        if missing:
            raise InputError(f"{found} names no tomogram {missing[0]}, which {self.path} has particles of; add a line")
        return [names[number] for number in whole]

    def per_particle(self, *columns: str) -> Floats | None:
        """Return a number for each particle, from its own columns or from its optics group; None without them.

        Raises
        ------
        InputError
            If a cell is not a number, or a particle has an optics group that there is none of.
        """
        for column in columns:
            if column in self.rows:
                return self.rows.numbers(column)
            if self.optics is not None and len(self.optics) and column in self.optics:
                return self.optics.numbers(column)[self._optics_rows(self.optics)]
        return None

    def _optics_rows(self, optics: StarBlock) -> NDArray[np.int64]:
        if "rlnOpticsGroup" not in self.rows or "rlnOpticsGroup" not in optics:
            if len(optics) == 1:
                return np.zeros(len(self.rows), np.int64)
            raise InputError(f"{self.path} does not say which optics group its particles are in; add rlnOpticsGroup")
        row_of = {group: row for row, group in enumerate(optics.text("rlnOpticsGroup"))}
        groups = self.rows.text("rlnOpticsGroup")
        missing = set(groups) - set(row_of)
        if missing:
            raise InputError(f"{self.path} has particles of optics group {min(missing)}, which data_optics lacks")
        return np.fromiter(map(row_of.__getitem__, groups), np.int64, len(groups))


def read_tables(path: Path, dialect: Dialect | None, project_root: Path | None) -> list[ParticleTable]:
    """Return the particles of a file, or of the files that it lists.

    Parameters
    ----------
    path
        A STAR file, a Dynamo table (``.tbl``) or a CSV file.
    dialect
        What the columns mean; by default it is recognised.
    project_root
        Folder that paths in lists are relative to; by default the list's folder and those above it are tried.

    Raises
    ------
    InputError
        If a file cannot be read or has no places of particles.
    """
    name = path.name.removesuffix(".gz").lower()
    if name.endswith(".tbl") or (dialect is not None and dialect.format == "table"):
        return [ParticleTable(path, read_dynamo_table(path), dialect or load_dialect("dynamo"))]
    if name.endswith(".csv") or (dialect is not None and dialect.format == "csv"):
        return [_recognised(path, read_csv_table(path), None, dialect)]
    star = read_star(path)
    listed = _listed(star, project_root or path.parent)
    if listed is None:
        return [_star_table(star, dialect)]
    tables = [_star_table(read_star(entry.path), dialect) for entry in listed]
    return [
        replace(table, tomogram=entry.tomogram, optics=table.optics or entry.optics)
        for table, entry in zip(tables, listed, strict=True)
    ]


def _star_table(star: StarFile, dialect: Dialect | None) -> ParticleTable:
    return _recognised(star.path, _particle_block(star), star.block("optics"), dialect or _named_dialect(star))


def _named_dialect(star: StarFile) -> Dialect | None:
    """Return the dialect that the first line of our own files names."""
    name = re.match(r"# CryoSiam, STAR dialect ([a-z0-9-]+):", star.comments[0] if star.comments else "")
    return load_dialect(name[1]) if name is not None and name[1] in (*DIALECTS, "picks") else None


def _particle_block(star: StarFile) -> StarBlock:
    signs = [load_dialect(name).signs for name in RECOGNISED]
    blocks = sorted(star.blocks, key=lambda block: block.name != "particles")
    found = [block for block in blocks if any(all(sign in block for sign in group) for group in signs)]
    if not found:
        if any("rlnCenteredCoordinateXAngst" in block and "rlnTomoName" not in block for block in blocks):
            raise InputError(f"{star.path} has no rlnTomoName: it does not say where its particles are from; add it")
        places = any("rlnCoordinateX" in block for block in blocks)
        what = "rlnCoordinateZ: its particles are of images" if places else "columns of places (rlnCoordinateX, ...)"
        raise InputError(f"{star.path} has no {what}; give a file of particles in tomograms")
    return found[0]


def _recognised(path: Path, rows: StarBlock, optics: StarBlock | None, dialect: Dialect | None) -> ParticleTable:
    if dialect is not None:
        return ParticleTable(path, rows, dialect, optics)
    for name in RECOGNISED:
        candidate = load_dialect(name)
        if all(sign in rows for sign in candidate.signs):
            if name in ("relion4", "relion31") and _is_for_warp(rows, optics):
                candidate = load_dialect("warp")
            return ParticleTable(path, rows, candidate, optics)
    raise InputError(f"{path} has no column of places that is known; say which dialect it is in")


def _is_for_warp(rows: StarBlock, optics: StarBlock | None) -> bool:
    """Whether a file that names tilt series as Warp does counts voxels of the tomogram, as Warp's and M's files do."""
    if any("rlnTomoTiltSeriesPixelSize" in block for block in (rows, optics) if block is not None):
        return False
    names = rows.text("rlnMicrographName" if "rlnMicrographName" in rows else "rlnTomoName")
    return bool(names) and names[0].endswith(".tomostar")


@dataclass(frozen=True)
class _Listed:
    """A particle file that another file names, and what that says of it."""

    path: Path
    tomogram: str | None = None
    optics: StarBlock | None = None


def _listed(star: StarFile, root: Path) -> list[_Listed] | None:
    """Return the particle files that a list names; None where the file is no list."""
    for block in star.blocks:
        if _IMPORT_FILE in block:
            files = [_found(file, star.path, root) for file in block.text(_IMPORT_FILE)]
            names = block.text("rlnTomoName") if "rlnTomoName" in block else [None] * len(block)
            return [_Listed(file, name) for file, name in zip(files, names, strict=True)]
        if _PARTICLES_FILE in block:
            return [_Listed(_found(file, star.path, root)) for file in block.text(_PARTICLES_FILE)]
    micrographs = star.block("micrographs")
    if micrographs is None or "rlnMicrographName" not in micrographs:
        return None
    return _coordinate_files(star, micrographs)


def _coordinate_files(star: StarFile, micrographs: StarBlock) -> list[_Listed]:
    """Return the coordinate files below the folder of RELION 3.1's ``tomos.star``."""
    row_of: dict[Path, int] = {}
    tomograms = micrographs.text("rlnMicrographName")
    # The longest stem last: what is of TS_1_2 is not of TS_1.
    for row in sorted(range(len(tomograms)), key=lambda row: len(tomograms[row])):
        stem = star.path.parent / coordinate_stem(tomograms[row])
        row_of.update(dict.fromkeys(stem.parent.glob(f"{escape(stem.name)}_*.star"), row))
    if not row_of:
        raise InputError(f"{star.path} lists tomograms without coordinate files below its folder; give such a file")
    optics = star.block("optics")
    groups = micrographs.text("rlnOpticsGroup") if "rlnOpticsGroup" in micrographs else None
    return [
        _Listed(file, tomograms[row], optics if optics is None or groups is None else _one_group(optics, groups[row]))
        for file, row in sorted(row_of.items())
    ]


def _one_group(optics: StarBlock, group: str) -> StarBlock:
    """Return the row of one optics group."""
    rows = [row for row, other in enumerate(optics.text("rlnOpticsGroup")) if other == group]
    if not rows:
        raise InputError(f"{optics.path} names optics group {group}, which its data_optics lacks; correct it")
    return replace(optics, columns={name: cells[rows[:1]] for name, cells in optics.columns.items()})


def _found(file: str, where: Path, root: Path) -> Path:
    """Return the file that a list names: from the project's folder, the list's folder, or one above it."""
    candidates = [root / file, *(folder / file for folder in where.resolve().parents)]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise InputError(f"{where} names {file}, which is not there; run from the project's folder, or correct it")
    return path
