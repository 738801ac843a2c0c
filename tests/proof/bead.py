"""Beads picked in binned tomograms, written by us, and looked for where the other program puts the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, label, maximum_position

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.geometry import positions_from_indices
from cryosiam.integrations.mrc.sink import MrcSink
from cryosiam.integrations.mrc.source import MrcSource
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, write_particles
from cryosiam.integrations.star.frame import Optics, TomogramFrame
from cryosiam.ports import ProductKey

from ..oracles import warp_star  # noqa: TID252 - tests are no package
from . import relion5, relion31
from .phantom import BEAD_SIGMA_PX, BEADS_XYZ, PIXEL_SIZE_ANGSTROM, SIZES_XYZ, beads, offset_from_middle, tomogram

BOX_VOXELS = {1: 32, 2: 16, 4: 8}
"""Box around a bead, by binning."""


@dataclass(frozen=True)
class Case:
    """A tomogram: even or odd sizes, how many pixels of the tilt series a voxel spans, whether those were averaged."""

    parity: str
    binning: int
    averaged: bool

    @property
    def name(self) -> str:
        """Name of the tomogram."""
        return f"{self.parity}-{self.binning}{'-averaged' if self.averaged else ''}"

    @property
    def size_xyz(self) -> tuple[int, int, int]:
        """Size of the unbinned tomogram."""
        return SIZES_XYZ[self.parity]

    @property
    def volume(self) -> NDArray[np.float32]:
        """The binned tomogram (z, y, x)."""
        return tomogram(beads(), self.size_xyz, self.binning, self.averaged)

    @property
    def frame(self) -> TomogramFrame:
        """What is known of it."""
        voxels = np.array(self.size_xyz) // self.binning
        return TomogramFrame(
            run=self.name,
            name=self.name,
            voxel_size_angstrom=self.binning * PIXEL_SIZE_ANGSTROM,
            size_xyz=(int(voxels[0]), int(voxels[1]), int(voxels[2])),
            pixel_size_angstrom=PIXEL_SIZE_ANGSTROM,
            unbinned_size_xyz=self.size_xyz,
            optics=Optics("optics", 300.0, 2.7, 0.1),
            tomogram_path=f"{self.name}.mrc",
            binned_by_averaging=self.binning if self.averaged else 1,
        )


CASES = [
    Case(parity, binning, averaged)
    for parity in SIZES_XYZ
    for binning, averaged in [(1, False), (2, False), (4, False), (2, True), (4, True)]
]


def picked(case: Case, folder: Path) -> FramedPicks:
    """Write the tomogram to ``folder``, read it with our source, and pick the centres of mass of its beads."""
    voxel_size = case.binning * PIXEL_SIZE_ANGSTROM
    made = Tomogram(case.name, ArrayVolume(case.volume), voxel_size, "wbp", "memory")
    path = Path(MrcSink(folder).write_tomogram(made, ProductKey("cryosiam", "1")))
    read = MrcSource([path.rename(folder / f"{case.name}.mrc")]).tomogram(case.name)
    whole = (slice(0, read.shape[0]), slice(0, read.shape[1]), slice(0, read.shape[2]))
    centres = bead_centres_zyx(read.volume.read(whole), case.binning)
    positions = positions_from_indices(centres, read.voxel_size_angstrom)
    return FramedPicks(case.frame, Picks(case.name, positions, np.ones(len(positions)), ("bead",) * len(positions)))


def bead_centres_zyx(volume: NDArray[np.float32], binning: int) -> NDArray[np.float64]:
    """Return the centre of mass around every bead's peak, in voxels, in the order of `BEADS_XYZ`: that of rising y."""
    reach = int(np.ceil(4 * BEAD_SIGMA_PX / binning))
    bodies, count = label(volume > 0.3 * volume.max())
    peaks = np.array(maximum_position(volume, bodies, range(1, count + 1)))
    centres = []
    for peak in peaks[np.argsort(peaks[:, 1])]:
        low = np.maximum(peak - reach, 0)
        window = volume[tuple(slice(a, b + reach + 1) for a, b in zip(low, peak, strict=True))]
        centres.append(low + center_of_mass(window))
    return np.array(centres)


def relion5_errors(folder: Path, sets: Sequence[FramedPicks], cases: Sequence[Case]) -> dict[str, float]:
    """Return by tomogram how far, in pixels, beads lie at most from the middle of zarr-particle-tools' boxes."""
    images = {size: beads().images(size) for size in SIZES_XYZ.values()}
    series = {case.name: relion5.Series(images[case.size_xyz], case.size_xyz, case.binning) for case in cases}
    tomograms_star = relion5.write_project(folder, series)
    particles = write_particles(folder, load_dialect("relion5"), sets).paths[0]
    boxes = relion5.extract(particles, tomograms_star, folder / "boxes", box=48, crop=32)
    errors: dict[str, list[float]] = {case.name: [] for case in cases}
    for name, tilts in boxes.items():
        errors[name.split("/")[0]].append(max(float(np.linalg.norm(offset_from_middle(tilt))) for tilt in tilts))
    assert all(len(found) == len(BEADS_XYZ) for found in errors.values())
    return {name: max(found) for name, found in errors.items()}


def relion31_errors(folder: Path, sets: Sequence[FramedPicks]) -> list[float]:
    """Return for every bead how far, in voxels, it lies from the middle of RELION 3.1's box, shifted as the file says.

    The tomograms that were picked lie in ``folder``; all have one voxel size.
    """
    write_particles(folder, load_dialect("relion31"), sets)
    frame = sets[0].frame
    binning = round((frame.voxel_size_angstrom or 0) / PIXEL_SIZE_ANGSTROM)
    boxes, shifts = relion31.boxes(folder, relion31.extract(folder, "bead", BOX_VOXELS[binning]))
    assert len(boxes) == len(BEADS_XYZ) * len(sets)
    return [float(np.linalg.norm(offset_from_middle(box) + shift)) for box, shift in zip(boxes, shifts, strict=True)]


def warp_error(folder: Path, picks: FramedPicks, case: Case) -> float:
    """Return how far, in voxels, beads lie at most from the middle of the boxes that Warp's rules cut.

    They are cut from the tomogram that Warp reconstructs: its voxel ``i`` lies at ``i * voxel size``.
    """
    (path,) = write_particles(folder, load_dialect("warp"), [picks]).paths
    voxel_size = case.binning * PIXEL_SIZE_ANGSTROM
    particles = warp_star.read_particles(path, voxel_size)
    chosen = particles.of(f"{case.name}.tomostar")
    assert len(chosen) == len(BEADS_XYZ)
    volume = tomogram(beads(), case.size_xyz, case.binning, averaged=False)
    places = particles.positions_angstrom[chosen] / voxel_size
    cut = [warp_star.cut(volume, place, BOX_VOXELS[case.binning]) for place in places]
    return max(float(np.linalg.norm(offset_from_middle(box))) for box in cut)
