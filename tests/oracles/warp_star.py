"""What WarpTools' ``ts_export_particles --input_star`` makes of a STAR file: an oracle, for Warp itself needs a GPU.

An independent reader that keeps the rules of ``WarpLib/Star.cs``, of
``WarpTools/Commands/Tiltseries/ExportParticlesTiltseries.cs`` (warpem/warp, 2.0) and of Warp's page on particle files
(docs/reference/warptools/tomogram_particle_files.md). It uses nothing of CryoSiam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform


class WarpError(Exception):
    """Warp would stop with an exception."""


@dataclass(frozen=True)
class WarpTable:
    """One table: column names and rows of text, which Warp never unquotes."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str] | None:
        """Return a column's cells, or None where it is absent."""
        return [row[self.columns.index(name)] for row in self.rows] if name in self.columns else None

    def joined(self, other: dict[str, list[str]]) -> WarpTable:
        """Return the table with further columns, which replace those of the same name."""
        kept = [name for name in self.columns if name not in other]
        cells = [self.column(name) or [] for name in kept] + list(other.values())
        return WarpTable((*kept, *other), tuple(zip(*cells, strict=True)))


@dataclass(frozen=True)
class WarpParticles:
    """Particles as Warp extracts them.

    Parameters
    ----------
    tilt_series
        Value of the name column for each particle; Warp compares it with the ``.tomostar`` file names.
    positions_angstrom
        ``(n, 3)`` (x, y, z), 0 at the centre of the first voxel.
    angles_deg
        ``(n, 3)`` rot, tilt, psi, or None where Warp takes the particles for unoriented.
    """

    tilt_series: tuple[str, ...]
    positions_angstrom: NDArray[np.float64]
    angles_deg: NDArray[np.float64] | None

    def of(self, tomostar_name: str) -> NDArray[np.intp]:
        """Return which particles Warp extracts from a tilt series: names must be equal, letter by letter."""
        return np.flatnonzero(np.array(self.tilt_series) == tomostar_name)


def read_table(path: Path, name: str = "") -> WarpTable:
    """Read a table as the constructor of ``Star`` does.

    Without a name it is whatever follows the first line that contains ``loop_``, comments included. Column labels may
    carry ``#n``; the first other line that is not empty is the first row. A line whose number of words is not the
    number of columns ends the table without a word, and so does an empty one.
    """
    lines = path.read_text().splitlines()
    start = 0
    if name:
        found = [n for n, line in enumerate(lines) if line.startswith(f"data_{name}")]
        if not found:
            raise WarpError(f"Table data_{name} not found in {path}")
        start = found[0] + 1
    while start < len(lines) and "loop_" not in lines[start]:
        start += 1
    places: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    reading_labels = True
    for line in lines[start + 1 :]:
        words = line.split()
        if reading_labels and not line:
            continue
        if reading_labels and line.startswith("_"):
            label = words[0][1:]
            if label in places:
                raise WarpError(f"column {label} stands twice in {path}")
            places[label] = int(words[1][1:]) - 1 if len(words) > 1 else len(places)
            continue
        reading_labels = False
        if len(words) != len(places):
            break
        rows.append(tuple(words))
    columns = tuple(sorted(places, key=lambda label: places[label]))
    return WarpTable(columns, tuple(rows))


def load_particles_table(path: Path) -> WarpTable:
    """Read particles of RELION 3.0 or 3.1, as ``Star.LoadRelion3Particles`` does.

    A file whose first block has a name, and which has a block ``optics``, is of several tables: those of ``optics``
    are joined to ``particles`` by ``rlnOpticsGroup``. Of any other file it is the first table.
    """
    blocks = [line.rstrip("\r\n") for line in path.read_text().splitlines() if line.startswith("data_")]
    if not blocks or blocks[0] == "data_" or not any(line.startswith("data_optics") for line in blocks):
        return read_table(path)
    optics = read_table(path, "optics")
    particles = read_table(path, "particles")
    groups, wanted = optics.column("rlnOpticsGroup"), particles.column("rlnOpticsGroup")
    if groups is None or wanted is None:
        raise WarpError(f"no rlnOpticsGroup in {path}")
    joined = {}
    for name in optics.columns:
        if name not in {"rlnOpticsGroup", "rlnOpticsGroupName"}:
            by_group = dict(zip(groups, optics.column(name) or [], strict=True))
            joined[name] = [by_group[group] for group in wanted]
    if "rlnImagePixelSize" in joined:
        joined["rlnDetectorPixelSize"] = joined.pop("rlnImagePixelSize")
        joined["rlnMagnification"] = ["10000"] * len(wanted)
    return particles.joined(joined)


def read_particles(path: Path, coords_angpix: float) -> WarpParticles:
    """Return what ``ts_export_particles --input_star path --coords_angpix ...`` extracts."""
    table = load_particles_table(path)
    name_column = "rlnMicrographName" if "rlnMicrographName" in table.columns else "rlnTomoName"
    names = _needed(table, name_column)
    places = np.array([_numbers(_needed(table, f"rlnCoordinate{axis}")) - _shift(table, axis) for axis in "XYZ"]).T
    angles = [table.column(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")]
    known = [_numbers(cells) for cells in angles if cells is not None]
    return WarpParticles(tuple(names), places * coords_angpix, np.array(known).T if len(known) == 3 else None)


def _needed(table: WarpTable, name: str) -> list[str]:
    cells = table.column(name)
    if cells is None:
        raise WarpError(f"Couldn't find {name} column in input STAR file.")
    return cells


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise WarpError(str(error)) from error


def _shift(table: WarpTable, axis: str) -> NDArray[np.float64]:
    pixels, angstrom = table.column(f"rlnOrigin{axis}"), table.column(f"rlnOrigin{axis}Angst")
    if pixels is not None:
        return _numbers(pixels)
    if angstrom is None:
        return np.zeros(len(table.rows))
    size = table.column("rlnPixelSize") or table.column("rlnImagePixelSize")
    if size is None:
        raise WarpError(f"rlnOrigin{axis}Angst without rlnPixelSize")
    return _numbers(angstrom) / _numbers(size)


def rotation(rot_deg: float, tilt_deg: float, psi_deg: float) -> NDArray[np.float64]:
    """Return the matrix that turns the reference into the tomogram.

    RELION's convention, which Warp's page names: the axes turn by rot about z, by tilt about the new y, by psi about
    the new z. Turning axes by an angle multiplies coordinates by these matrices, the last turn on the left.
    """

    def about_z(degrees: float) -> NDArray[np.float64]:
        c, s = cos(radians(degrees)), sin(radians(degrees))
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

    c, s = cos(radians(tilt_deg)), sin(radians(tilt_deg))
    about_y = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return about_z(psi_deg) @ about_y @ about_z(rot_deg)


def cut(volume: NDArray[np.float32], place_xyz: Sequence[float], box: int) -> NDArray[np.float32]:
    """Return the box (z, y, x) whose voxel ``box // 2`` lies at ``place_xyz`` of the tomogram, in voxels."""
    return turned(volume, place_xyz, np.eye(3), box)


def turned(
    volume: NDArray[np.float32], place_xyz: Sequence[float], matrix: NDArray[np.float64], box: int
) -> NDArray[np.float32]:
    """Return the box in the reference's frame: voxel ``q`` of it is voxel ``place + matrix @ q`` of the tomogram."""
    swapped = matrix[::-1, ::-1]
    place = np.asarray(place_xyz, float)[::-1]
    # Only what the box can reach, for the interpolation filters all that it is given.
    low = np.maximum(np.floor(place).astype(int) - box, 0)
    near = volume[tuple(slice(corner, corner + 2 * box + 1) for corner in low)]
    offset = place - low - swapped @ np.full(3, box // 2)
    return affine_transform(near, swapped, offset, (box, box, box), order=3, mode="constant")


def average(
    particles: WarpParticles, tomograms: dict[str, NDArray[np.float32]], voxel_size_angstrom: float, box: int
) -> NDArray[np.float32]:
    """Average the particles of tomograms (z, y, x), named after their ``.tomostar`` files, with their angles.

    Warp reconstructs voxel ``i`` at ``i * voxel size`` (ReconstructFull.cs:494).
    """
    total = np.zeros((box, box, box))
    for name, volume in tomograms.items():
        for number in particles.of(name):
            angles = (0.0, 0.0, 0.0) if particles.angles_deg is None else particles.angles_deg[number]
            place = particles.positions_angstrom[number] / voxel_size_angstrom
            total += turned(volume, place, rotation(*angles), box)
    return (total / max(len(particles.tilt_series), 1)).astype(np.float32)
