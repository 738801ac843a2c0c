"""Copies of an asymmetric object, written by us, and averaged by other programs with the angles of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosiam.domain import Picks
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, write_particles
from cryosiam.integrations.star.frame import Optics, TomogramFrame

from ..oracles import warp_star  # noqa: TID252 - tests are no package
from . import relion5, relion31
from .phantom import PIXEL_SIZE_ANGSTROM, SIZES_XYZ, Copies, Likeness, copies, likeness

OBJECTS: dict[str, Copies] = {
    f"{parity}-{seed}": copies(size, seed) for seed in range(3) for parity, size in SIZES_XYZ.items()
}
"""Copies by name of the tomogram; half of the tomograms have odd sizes."""
BOX, CROP = 64, 40


def framed(name: str) -> FramedPicks:
    """Return places and orientations of a tomogram's copies, as if it had been picked unbinned."""
    size = SIZES_XYZ[name.split("-")[0]]
    frame = TomogramFrame(
        run=name,
        name=name,
        voxel_size_angstrom=PIXEL_SIZE_ANGSTROM,
        size_xyz=size,
        pixel_size_angstrom=PIXEL_SIZE_ANGSTROM,
        unbinned_size_xyz=size,
        optics=Optics("optics", 300.0, 2.7, 0.1),
        tomogram_path=f"{name}.mrc",
    )
    truth = OBJECTS[name]
    count = len(truth.places_xyz)
    positions = truth.places_xyz * PIXEL_SIZE_ANGSTROM
    return FramedPicks(frame, Picks(name, positions, np.ones(count), ("blobs",) * count, rotations=truth.rotations))


def relion5_likeness(folder: Path, sets: Sequence[FramedPicks]) -> Likeness:
    """Average the copies' tilt images by zarr-particle-tools."""
    series = {name: relion5.Series(o.blobs.images(_size(name)), _size(name), 1) for name, o in OBJECTS.items()}
    tomograms_star = relion5.write_project(folder, series)
    particles = write_particles(folder, load_dialect("relion5"), sets).paths[0]
    return likeness(relion5.average(particles, tomograms_star, folder / "average", BOX, CROP))


def relion31_likeness(folder: Path, sets: Sequence[FramedPicks]) -> Likeness:
    """Average the copies, cut out of the tomograms, by RELION 3.1."""
    for name, truth in OBJECTS.items():
        with mrcfile.new(folder / f"{name}.mrc", data=truth.blobs.volume(_size(name))) as file:
            file.voxel_size = PIXEL_SIZE_ANGSTROM
    write_particles(folder, load_dialect("relion31"), sets)
    table = relion31.extract(folder, "blobs", CROP)
    return likeness(relion31.average(folder, table, PIXEL_SIZE_ANGSTROM))


def warp_likeness(folder: Path, sets: Sequence[FramedPicks]) -> Likeness:
    """Average the copies, cut out of the tomograms, by Warp's rules."""
    path = write_particles(folder, load_dialect("warp"), sets).paths[0]
    particles = warp_star.read_particles(path, PIXEL_SIZE_ANGSTROM)
    tomograms = {f"{name}.tomostar": truth.blobs.volume(_size(name)) for name, truth in OBJECTS.items()}
    return likeness(warp_star.average(particles, tomograms, PIXEL_SIZE_ANGSTROM, CROP))


READERS: dict[str, Callable[[Path, Sequence[FramedPicks]], Likeness]] = {
    "relion5": relion5_likeness,
    "relion31": relion31_likeness,
    "warp": warp_likeness,
}
"""Who averages, by dialect."""


def transposed(entry: FramedPicks) -> FramedPicks:
    """Turn the tomogram into the object in place of the object into the tomogram."""
    return _rotated(entry, _rotations(entry).transpose(0, 2, 1))


def negated(entry: FramedPicks) -> FramedPicks:
    """Negate the three Euler angles, which makes the orientations those of the mirror image."""
    angles = Rotation.from_matrix(_rotations(entry)).as_euler("ZYZ")
    return _rotated(entry, Rotation.from_euler("ZYZ", -angles).as_matrix())


def flipped(entry: FramedPicks) -> FramedPicks:
    """Count z of the places from the other end, and leave the orientations."""
    positions = entry.picks.positions_angstrom.copy()
    positions[:, 2] = (_size(entry.frame.name)[2] - 1) * PIXEL_SIZE_ANGSTROM - positions[:, 2]
    return replace(entry, picks=replace(entry.picks, positions_angstrom=positions))


MISTAKES: dict[str, Callable[[FramedPicks], FramedPicks]] = {
    "transposed matrix": transposed,
    "negated angles": negated,
    "flipped z": flipped,
}
"""Wrong conventions, put in where a writer that had them would put them."""


def _size(name: str) -> tuple[int, int, int]:
    return SIZES_XYZ[name.split("-")[0]]


def _rotations(entry: FramedPicks) -> NDArray[np.float64]:
    assert entry.picks.rotations is not None
    return np.asarray(entry.picks.rotations, np.float64)


def _rotated(entry: FramedPicks, rotations: NDArray[np.float64]) -> FramedPicks:
    return replace(entry, picks=replace(entry.picks, rotations=rotations))
