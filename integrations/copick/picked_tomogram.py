"""Voxel size and size of the tomogram that picks were made on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.errors import InputError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.ome import open_group, read_volume
from cryosiam.integrations.copick.project import choose_tomogram, fits
from cryosiam.integrations.handoff.frames import PickedTomogram

if TYPE_CHECKING:
    from collections.abc import Collection

    from cryosiam.integrations.copick.project import CopickProject, TomogramEntry


def picked_tomogram(project: CopickProject, run: str, wanted: str | None, told: Collection[str]) -> PickedTomogram:
    """Return the grid that the picks of a run were made on.

    Tomograms of the same voxel size and size are one grid: which of them was picked makes no difference to any place.

    Parameters
    ----------
    project, run
        The project and the name of the run.
    wanted
        Tomogram that the user names, such as ``wbp@10.0``.
    told
        Tomograms that the files of the picks name.

    Raises
    ------
    InputError
        If tomograms of several grids come into question, or the one that was named is not there.
    """
    entries = project.tomograms(run)
    where = str(project.config.path)
    if not entries and wanted is None:
        return PickedTomogram(run)
    if wanted is None and told:
        named = [entry for entry in entries if any(fits(entry, name) for name in told)]
        entries = named or entries
    elif wanted is not None:
        entries = [entry for entry in entries if fits(entry, wanted)]
    grids = {_grid(entry): entry for entry in reversed(entries)}
    if len(grids) != 1:
        choose_tomogram(list(reversed(grids.values())) or project.tomograms(run), wanted, run, where)
        raise InputError(f"run '{run}' in {where} has tomograms of several sizes; choose one with -t")
    ((voxel_size, size), entry), *_ = grids.items()
    return PickedTomogram(run, voxel_size, size, entry.path)


def _grid(entry: TomogramEntry) -> tuple[float, tuple[int, int, int]]:
    with logging_kept():
        volume, voxel_size = read_volume(open_group(entry.handle.zarr(), entry.path), entry.path)
    z, y, x = volume.shape
    return voxel_size, (x, y, z)
