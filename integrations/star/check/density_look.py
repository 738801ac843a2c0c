"""Measure the density under the particles of a file, in those of their tomograms that can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.star.check.density import Evidence, Particles, weigh
from cryosiam.integrations.star.check.offset import Offset, offset_of
from cryosiam.integrations.star.check.volumes import OpenVolume, open_volume

if TYPE_CHECKING:
    from cryosiam.integrations.star.check.context import Context
    from cryosiam.integrations.star.check.tomograms import ListedTomogram

_MOST_TOMOGRAMS: Final = 4
SIZE_TOLERANCE_VOXELS: Final = 2.0
"""Binned sizes are rounded, by some programs to even numbers."""


@dataclass(frozen=True)
class DensityLook:
    """What the density says.

    Parameters
    ----------
    evidence
        For every reading of the coordinates, as they are first; empty where nothing could be measured.
    offset
        Where the density lies, seen from the particles; None where it does not show.
    volumes
        Tomograms that were read, with what is listed of them.
    """

    evidence: tuple[Evidence, ...]
    offset: Offset | None
    volumes: tuple[tuple[ListedTomogram, OpenVolume], ...]


def look_at_density(context: Context) -> DensityLook:
    """Return what the density of up to four tomograms, those with most particles, says of the places."""
    volumes = tuple(_volumes(context)) if context.is_particles else ()
    sets = [particles for listed, volume in volumes if (particles := _particles(context, listed, volume)) is not None]
    if not sets:
        return DensityLook((), None, volumes)
    return DensityLook(tuple(weigh(sets)), offset_of(sets), volumes)


def _volumes(context: Context) -> Iterator[tuple[ListedTomogram, OpenVolume]]:
    counts = Counter(tomogram.name for tomogram in context.places.tomograms if tomogram is not None)
    listed = {tomogram.name: tomogram for tomogram in context.frames.values()}
    for name, _ in counts.most_common(_MOST_TOMOGRAMS):
        tomogram = listed[name]
        if tomogram.file is None or not tomogram.file.is_file():
            continue
        try:
            yield tomogram, open_volume(tomogram.file, tomogram.voxel_size_angstrom)
        except InputError:
            continue


def has_other_size(tomogram: ListedTomogram, volume: OpenVolume) -> bool:
    """Tell whether the file is not as large as tomograms.star says."""
    if tomogram.unbinned_size_xyz is None or tomogram.pixel_size_angstrom is None:
        return False
    wanted = np.array(tomogram.unbinned_size_xyz) * tomogram.pixel_size_angstrom / volume.voxel_size_angstrom
    return bool((np.abs(wanted - volume.size_xyz) > SIZE_TOLERANCE_VOXELS).any())


def _particles(context: Context, listed: ListedTomogram, volume: OpenVolume) -> Particles | None:
    places = context.places
    mine = np.array([tomogram is not None and tomogram.name == listed.name for tomogram in places.tomograms])
    positions = places.as_read[mine]
    positions = positions[np.isfinite(positions).all(axis=1)]
    if not len(positions) or has_other_size(listed, volume):
        return None
    pixel = listed.pixel_size_angstrom or volume.voxel_size_angstrom
    return Particles(volume, positions, places.reads_centred, volume.voxel_size_angstrom / pixel, pixel)
