"""Copies of an asymmetric object, written by us, and averaged by other programs with the angles of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
SPECIES = "blobs"
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
    return FramedPicks(frame, Picks(name, positions, np.ones(count), (SPECIES,) * count, rotations=truth.rotations))


@dataclass(frozen=True)
class Reader:
    """A program that averages particles.

    Parameters
    ----------
    prepare
        Writes into a folder what the program has before there are particles.
    average
        Averages the particles of a file in that folder, by the optimisation set beside it where there is one, and
        says how like the object the average is.
    """

    prepare: Callable[[Path], None]
    average: Callable[[Path, Path], Likeness]

    def likeness(self, folder: Path, dialect: str, sets: Sequence[FramedPicks]) -> Likeness:
        """Prepare, write the particles in the program's dialect, average."""
        self.prepare(folder)
        return self.average(folder, write_particles(folder, load_dialect(dialect), sets).paths[0])


def _write_tilt_series(folder: Path) -> None:
    series = {name: relion5.Series(o.blobs.images(_size(name)), _size(name), 1) for name, o in OBJECTS.items()}
    relion5.write_project(folder, series)


def _average_tilt_images(folder: Path, particles: Path) -> Likeness:
    out = folder / "average"
    listed = particles.with_name(f"{particles.stem}_optimisation_set.star")
    if listed.exists():
        return likeness(relion5.average_set(listed, out, BOX, CROP))
    return likeness(relion5.average(particles, folder / "tomograms.star", out, BOX, CROP))


def _write_tomograms(folder: Path) -> None:
    for name, truth in OBJECTS.items():
        with mrcfile.new(folder / f"{name}.mrc", data=truth.blobs.volume(_size(name))) as file:
            file.voxel_size = PIXEL_SIZE_ANGSTROM


def _average_boxes(folder: Path, _: Path) -> Likeness:
    return likeness(relion31.average(folder, relion31.extract(folder, SPECIES, CROP), PIXEL_SIZE_ANGSTROM))


def _average_by_warps_rules(folder: Path, particles: Path) -> Likeness:
    tomograms = {f"{name}.tomostar": mrcfile.read(folder / f"{name}.mrc") for name in OBJECTS}
    read = warp_star.read_particles(particles, PIXEL_SIZE_ANGSTROM)
    return likeness(warp_star.average(read, tomograms, PIXEL_SIZE_ANGSTROM, CROP))


READERS = {
    "relion5": Reader(_write_tilt_series, _average_tilt_images),
    "relion31": Reader(_write_tomograms, _average_boxes),
    "warp": Reader(_write_tomograms, _average_by_warps_rules),
}
"""Who averages, by dialect: zarr-particle-tools, RELION 3.1, the oracle of Warp."""


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
