"""An open copick project: its runs and the tomograms in them."""

from __future__ import annotations

import difflib
import fnmatch
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryosiam.errors import InputError
from cryosiam.integrations.copick.config import ProjectConfig, local_folder, read_config
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.run_names import check_run_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPACING_TOLERANCE = 5e-3
"""Relative difference allowed between a folder's name and the voxel size in the metadata.

Projects in the field name the folder by the nominal size: the CZII challenge has 10.012 Å in ``VoxelSpacing10.000``.
"""


@dataclass(frozen=True)
class TomogramEntry:
    """A tomogram in a project, not opened yet.

    Parameters
    ----------
    run, tomogram_type
        Names of the run and of the reconstruction.
    spacing_angstrom
        Voxel size in the name of its folder.
    handle
        copick's object.
    """

    run: str
    tomogram_type: str
    spacing_angstrom: float
    handle: Any

    @property
    def uri(self) -> str:
        """Name in copick's manner, such as ``wbp@10.0``."""
        return f"{self.tomogram_type}@{self.spacing_angstrom}"

    @property
    def path(self) -> str:
        """Place of the Zarr group in its file system."""
        return str(self.handle.static_path if self.handle.read_only else self.handle.overlay_path)

    def sizes_and_times(self) -> list[tuple[str, int, str]]:
        """Return name, size and time of change of every file of the tomogram, sorted by name."""
        file_system = self.handle.fs_static if self.handle.read_only else self.handle.fs_overlay
        found = file_system.find(self.path, detail=True)
        return sorted(
            (
                name.removeprefix(self.path),
                int(info.get("size") or 0),
                str(info.get("mtime") or info.get("LastModified") or info.get("ETag") or ""),
            )
            for name, info in found.items()
        )


class CopickProject:
    """A copick project of type ``filesystem``, with or without an overlay.

    Parameters
    ----------
    config_path
        The project's JSON file.

    Raises
    ------
    InputError
        If the file cannot be used, or the folders it names do not exist.
    """

    def __init__(self, config_path: Path) -> None:
        self.config: ProjectConfig = read_config(config_path)
        self._check_folders()
        with logging_kept():
            from copick.impl.filesystem import CopickConfigFSSpec, CopickRootFSSpec

            self.root: Any = CopickRootFSSpec(CopickConfigFSSpec(**self.config.content))

    def run_names(self) -> list[str]:
        """Return the names of all runs, sorted."""
        with logging_kept():
            return [str(run.name) for run in self.root.runs]

    def select_runs(self, names: Sequence[str] | None, number_is_fine: bool = False) -> list[str]:
        """Return the runs a user asks for, in the project's order; all of them for None.

        Parameters
        ----------
        names
            Names of the runs.
        number_is_fine
            Allow names that read as numbers.

        Raises
        ------
        InputError
            If there are none, or one is missing or has a name that STAR files cannot carry.
        """
        there = self.run_names()
        wanted = list(names) if names else there
        for name in wanted:
            check_run_name(name, str(self.config.path), number_is_fine)
            self._check_nested(name)
            if name not in there:
                near = difflib.get_close_matches(name, there, n=3, cutoff=0.5) or there[:5]
                hint = f"did you mean {' or '.join(near)}?" if near else "the project has no runs"
                raise InputError(f"there is no run '{name}' in {self.config.path}; {hint}")
        if not wanted:
            raise InputError(f"project {self.config.path} has no runs; add a tomogram first")
        return [name for name in there if name in set(wanted)]

    def tomograms(self, run: str) -> list[TomogramEntry]:
        """Return the tomograms of ``run`` sorted by voxel size, then name.

        Raises
        ------
        InputError
            If a folder of voxel spacing has a name that is not a number.
        """
        with logging_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = [
                    TomogramEntry(run, str(handle.tomo_type), float(spacing.voxel_size), handle)
                    for spacing in self.root.get_run(run).voxel_spacings
                    for handle in spacing.tomograms
                ]
            except ValueError as error:
                raise InputError(
                    f"run '{run}' in {self.config.path} has a VoxelSpacing folder whose name is not a number; "
                    "rename it to the voxel size in Å, such as VoxelSpacing10.000"
                ) from error
        return sorted(found, key=lambda entry: (entry.spacing_angstrom, entry.tomogram_type))

    def pick_sets(self, run: str) -> list[Any]:
        """Return copick's pick sets of ``run``.

        Raises
        ------
        InputError
            If a file of picks has a name that copick cannot take apart.
        """
        with logging_kept():
            try:
                return list(self.root.get_run(run).picks)
            except IndexError as error:
                raise InputError(
                    f"run '{run}' of {self.config.path} has a file in Picks/ whose name is not "
                    "user_session_object.json; rename it"
                ) from error

    def spacing_name(self, run: str, voxel_size_angstrom: float) -> str:
        """Return the voxel size as this run's folders write it, for a new product.

        A folder already there within the tolerance is used, so that products land beside the tomogram they belong to.
        """
        with logging_kept():
            handle = self.root.get_run(run)
            spacings = [float(spacing.voxel_size) for spacing in handle.voxel_spacings] if handle else []
        near = [s for s in spacings if abs(s - voxel_size_angstrom) <= SPACING_TOLERANCE * s]
        best = min(near, key=lambda s: abs(s - voxel_size_angstrom), default=round(voxel_size_angstrom, 3))
        return f"{best:.3f}"

    def _check_folders(self) -> None:
        config = self.config
        folders = {"overlay_root": local_folder(config.overlay_root)}
        if config.static_root is not None:
            folders = {"static_root": local_folder(config.static_root)}
        for key, folder in folders.items():
            if folder is not None and not folder.is_dir():
                raise InputError(f"{key} {folder} of {config.path} is not a folder; correct it or create the folder")

    def _check_nested(self, name: str) -> None:
        """Refuse a run that is only a folder of runs, as a name with a slash makes it."""
        for root in {self.config.overlay_root, self.config.static_root or self.config.overlay_root}:
            folder = local_folder(root)
            run = folder / "ExperimentRuns" / name if folder else None
            if run is None or any(run.glob("VoxelSpacing*")):
                return
            inner = next((path.parent for path in run.glob("*/VoxelSpacing*")), None)
            if inner is not None:
                check_run_name(f"{name}/{inner.name}", str(self.config.path))


def choose_tomogram(entries: Sequence[TomogramEntry], wanted: str | None, run: str, where: str) -> TomogramEntry:
    """Return the one tomogram that ``wanted`` means.

    Parameters
    ----------
    entries
        Candidates.
    wanted
        ``type@voxelsize`` in copick's manner; either part may be missing or a shell pattern. None for any.
    run, where
        For messages.

    Raises
    ------
    InputError
        If none or more than one fits.
    """
    if not entries:
        raise InputError(f"run '{run}' in {where} has no tomogram; add one or leave the run out with -r")
    fitting = [entry for entry in entries if fits(entry, wanted)]
    choices = ", ".join(entry.uri for entry in fitting or entries)
    if not fitting:
        raise InputError(f"run '{run}' in {where} has no tomogram '{wanted}'; there is {choices}")
    if len(fitting) > 1:
        raise InputError(
            f"run '{run}' in {where} has {len(fitting)} tomograms ({choices}); choose one, such as -t {fitting[0].uri}"
        )
    return fitting[0]


def fits(entry: TomogramEntry, wanted: str | None) -> bool:
    """Tell whether a tomogram is one that ``wanted`` means, as `choose_tomogram` has it."""
    if wanted is None:
        return True
    name, _, size = wanted.partition("@")
    if not fnmatch.fnmatchcase(entry.tomogram_type, name or "*"):
        return False
    if size in ("", "*"):
        return True
    try:
        return abs(float(size) - entry.spacing_angstrom) <= SPACING_TOLERANCE * entry.spacing_angstrom
    except ValueError as error:
        raise InputError(f"'{wanted}' is not a tomogram name; write it as type@voxelsize, such as wbp@10.0") from error
