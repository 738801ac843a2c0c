"""What to do next in the other program, as a command that the user can copy."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryosiam.integrations.handoff.exporting import Export, ExportRequest

_CROP_PER_DIAMETER: Final = 1.5
_BOX_PER_CROP: Final = 2
"""Boxes are extracted larger than they are kept, since the CTF spreads a particle."""


@dataclass(frozen=True)
class _Facts:
    """What a command may need. Words in capitals stand for what is not known.

    Parameters
    ----------
    folder, files
        Where files were written, and which.
    species
        Species of the first file.
    tomograms_star
        RELION's file, as the user named it.
    diameter_angstrom
        Diameter of the particles.
    voxel_size_angstrom, pixel_size_angstrom
        Of the tomogram and of the tilt series.
    unbinned_size_xyz
        Size that the centre follows from, where it is no file of RELION that states it.
    """

    folder: str
    files: tuple[str, ...]
    species: str
    tomograms_star: str
    diameter_angstrom: float | None
    voxel_size_angstrom: float | None
    pixel_size_angstrom: float | None
    unbinned_size_xyz: tuple[float, float, float] | None

    @property
    def first(self) -> str:
        return shlex.quote(self.files[0])

    def named(self, part: str) -> str:
        """Return the first file with ``part`` in its name, else the first of all."""
        return shlex.quote(next((file for file in self.files if part in file.rpartition("/")[2]), self.files[0]))

    @property
    def binning(self) -> int:
        if self.voxel_size_angstrom is None or self.pixel_size_angstrom is None:
            return 1
        return max(1, round(self.voxel_size_angstrom / self.pixel_size_angstrom))

    @property
    def diameter(self) -> str:
        return "DIAMETER" if self.diameter_angstrom is None else f"{self.diameter_angstrom:.0f}"

    @property
    def voxel_size(self) -> str:
        return "VOXEL_SIZE" if self.voxel_size_angstrom is None else f"{self.voxel_size_angstrom:g}"

    def crop(self, pixel_size_angstrom: float | None) -> int | None:
        """Return the edge of the box to keep, in pixels, even."""
        if self.diameter_angstrom is None or pixel_size_angstrom is None:
            return None
        return 2 * math.ceil(_CROP_PER_DIAMETER * self.diameter_angstrom / pixel_size_angstrom / 2)


def next_step(request: ExportRequest, export: Export, folder: Path, paths: Sequence[Path]) -> str:
    """Return the next command of the other program, for the first species.

    Box sizes follow from the radius that the copick project states. Commands of RELION and zarr-particle-tools were
    run; those of Warp, M and Dynamo are from their documentation.

    Parameters
    ----------
    request, export
        What was asked for, and the picks.
    folder, paths
        Where files were written, and which, particle files first.
    """
    frame = export.sets[0].frame
    species = next(iter(export.counts))
    radius = export.radii_angstrom.get(species)
    facts = _Facts(
        folder=shlex.quote(str(folder)),
        files=tuple(map(str, paths)),
        species=species,
        tomograms_star=shlex.quote(str(request.facts.tomograms_star or "tomograms.star")),
        diameter_angstrom=None if radius is None else 2 * radius,
        voxel_size_angstrom=frame.voxel_size_angstrom,
        pixel_size_angstrom=frame.pixel_size_angstrom,
        unbinned_size_xyz=None if request.facts.tomograms_star else frame.unbinned_size_xyz,
    )
    return _STEPS[request.dialect.name](facts)


def _relion5(facts: _Facts) -> str:
    start = f"give {facts.named('optimisation_set')} to RELION 5's job Extract subtomos, or run"
    if not any("optimisation_set" in file for file in facts.files):
        start = "run, with the tomograms.star of RELION's Reconstruct Tomograms job"
        if facts.unbinned_size_xyz is not None:
            x, y, z = facts.unbinned_size_xyz
            start += f" (rlnTomoSizeX, Y, Z must be {x:g}, {y:g}, {z:g}: the centre follows from them)"
    return f"next: {start}\n  {_relion_extract(f'--p {facts.first} --t {facts.tomograms_star}', facts)}"


def _relion_extract(source: str, facts: _Facts) -> str:
    pixel_size = None if facts.pixel_size_angstrom is None else facts.pixel_size_angstrom * facts.binning
    crop = facts.crop(pixel_size)
    box = "BOX" if crop is None else str(_BOX_PER_CROP * crop)
    return f"relion_tomo_subtomo {source} --o Extract/ --b {box} --crop {crop or 'CROP'} --bin {facts.binning}"


def _relion5_import(facts: _Facts) -> str:
    listing = facts.named("_list.star")
    return (
        f"next: give {listing} to RELION 5's job Import coordinates, or run\n"
        f"  relion_tomo_import_coordinates --i {listing} --o ImportCoordinates/"
    )


def _relion4(facts: _Facts) -> str:
    return (
        f"next:\n  relion_tomo_import_particles --i {facts.first} --t {facts.tomograms_star} --o ImportParticles/\n"
        f"  {_relion_extract('--i ImportParticles/optimisation_set.star', facts)}"
    )


def _relion31(facts: _Facts) -> str:
    crop = facts.crop(facts.voxel_size_angstrom)
    size, radius = ("SIZE", "RADIUS") if crop is None else (str(crop), str(crop // 2 - 1))
    return (
        "next, in the folder of the tomograms' paths:\n"
        f"  relion_preprocess --i {facts.named('tomos')} --coord_dir {facts.folder}/ "
        f"--coord_suffix _{facts.species}.star --part_star Extract/particles.star --part_dir Extract/ --extract "
        f"--extract_size {size} --norm --bg_radius {radius} --invert_contrast"
    )


def _warp(facts: _Facts) -> str:
    crop = facts.crop(facts.voxel_size_angstrom)
    return (
        "next, in Warp's folder:\n"
        f"  WarpTools ts_export_particles --settings warp_tiltseries.settings --input_star {facts.first} "
        f"--coords_angpix {facts.voxel_size} --output_star relion/{facts.species}.star "
        f"--output_angpix {facts.voxel_size} --box {crop or 'BOX'} --diameter {facts.diameter} "
        "--relative_output_paths --3d"
    )


def _m(facts: _Facts) -> str:
    return (
        "next, with half maps and a mask of the species:\n"
        f"  MTools create_species --population POPULATION --name {facts.species} --diameter {facts.diameter} "
        f"--half1 HALF1 --half2 HALF2 --mask MASK --particles_relion {facts.first} --angpix_coords {facts.voxel_size}"
    )


def _scipion(facts: _Facts) -> str:
    return (
        "next: in Scipion, start the protocol 'reliontomo - import coordinates 3D from a star file' with "
        f"{facts.first} and the tomograms that were picked"
    )


def _dynamo(facts: _Facts) -> str:
    crop = facts.crop(facts.voxel_size_angstrom)
    return f"next, in Dynamo:\n  dtcrop {facts.named('.doc')} {facts.first} particles_{facts.species} {crop or 'SIZE'}"


def _csv(facts: _Facts) -> str:
    return f"next: read {facts.first} with any program that reads tables; positions are in Å, 0 is a voxel centre"


_STEPS: Final[dict[str, Callable[[_Facts], str]]] = {
    "relion5": _relion5,
    "relion5-import": _relion5_import,
    "relion4": _relion4,
    "relion31": _relion31,
    "warp": _warp,
    "m": _m,
    "scipion": _scipion,
    "dynamo": _dynamo,
    "csv": _csv,
}
