"""`cryosiam reconstruct`: from the files of a tilt series to tomograms in a copick project or in MRC files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.run_names import check_run_name
from cryosiam.integrations.tilt_series import TiltSeriesFiles, load_tilt_series
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.ports import ProductKey
from cryosiam.tomography.reconstruct import ReconstructionOptions, weight_tilt_series

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cryosiam.domain import Tomogram
    from cryosiam.domain.tomogram import Box
    from cryosiam.pipeline.progress import Reporter

KEY: Final = ProductKey("cryosiam", "reconstruction")
"""Maker of reconstructed tomograms in a project."""

HALF_SUFFIXES: Final = ("-even", "-odd")
"""Endings of the tomogram types of half reconstructions."""


class Destination(Protocol):
    """Where tomograms go."""

    def check(self, run: str, tomogram_types: list[str], voxel_size_angstrom: float) -> None:
        """Raise a `CryoSiamError` if writing is bound to fail; called before the work. Nothing is written."""
        ...

    def opened(self, run: str) -> AbstractContextManager[None]:
        """Make what the tomograms go into, and hold ``run`` for this process while they are written."""
        ...

    def write(self, tomogram: Tomogram) -> str:
        """Write a tomogram, whole or not at all; return where it went."""
        ...


@dataclass(frozen=True)
class CopickDestination:
    """A copick project.

    Parameters
    ----------
    project
        The JSON file.
    create
        Make the project where the file does not exist.
    overwrite
        Replace tomograms that an earlier `reconstruct` wrote.
    """

    project: Path
    create: bool
    overwrite: bool

    def check(self, run: str, tomogram_types: list[str], voxel_size_angstrom: float) -> None:
        """Find out whether the project can take the tomograms.

        Raises
        ------
        InputError
            If the project is missing or cannot be used, or a name cannot be stored.
        ProductExistsError
            If a tomogram is there and may not be replaced.
        ProjectLockedError
            If another process works on the run.
        StorageError
            If the project cannot be written.
        """
        from cryosiam.integrations.copick.config import check_name
        from cryosiam.integrations.copick.sink import CopickSink

        for name in tomogram_types:
            check_name(name, "tomogram type")
        if not self.project.exists():
            if not self.create:
                raise InputError(f"there is no project file {self.project}; give --create to start a project there")
            refuse_read_only(self.project.absolute().parent, "give a project in a folder you may write to")
            return
        sink = CopickSink(self.project, overwrite=self.overwrite)
        sink.check([run], KEY)
        for name in tomogram_types:
            there = sink.tomogram_in_the_way(run, name, voxel_size_angstrom)
            if there is not None:
                replaceable = CopickSink(self.project, overwrite=True)
                ours = replaceable.tomogram_in_the_way(run, name, voxel_size_angstrom) is None
                hint = "give --overwrite or another --tomo-type" if ours else "give another --tomo-type"
                raise ProductExistsError(f"run '{run}' of {self.project} has {there} already; {hint}")
        with sink.lock(run):
            pass  # another process that holds the run is found now, not after the work

    def opened(self, run: str) -> AbstractContextManager[None]:
        """Make the project where there is none, and hold the run."""
        from cryosiam.integrations.copick.create import create_project
        from cryosiam.integrations.copick.sink import CopickSink

        if not self.project.exists():
            create_project(self.project)
        return CopickSink(self.project).lock(run)

    def write(self, tomogram: Tomogram) -> str:
        """Write a tomogram into the run's folder."""
        from cryosiam.integrations.copick.sink import CopickSink

        return CopickSink(self.project, overwrite=self.overwrite).write_tomogram(tomogram, KEY)


@dataclass(frozen=True)
class MrcDestination:
    """An MRC file; half reconstructions go beside it.

    Parameters
    ----------
    path
        Of the tomogram.
    tomogram_type
        Of the tomogram; what another type has beyond it goes into the file's name.
    overwrite
        Replace files that are there.
    """

    path: Path
    tomogram_type: str
    overwrite: bool

    def check(self, run: str, tomogram_types: list[str], voxel_size_angstrom: float) -> None:
        """Raise `ProductExistsError` if a file is there and may not be replaced."""
        for name in tomogram_types:
            path = self._path(name)
            if path.exists() and not self.overwrite:
                raise ProductExistsError(f"{path} is there already; give --overwrite or another --out")

    def opened(self, run: str) -> AbstractContextManager[None]:
        """Hold nothing: the file appears at once."""
        from contextlib import nullcontext

        return nullcontext()

    def write(self, tomogram: Tomogram) -> str:
        """Write a float32 MRC file."""
        from cryosiam.integrations.mrc.writer import write_mrc

        path = self._path(tomogram.tomogram_type)
        write_mrc(path, tomogram.volume, tomogram.voxel_size_angstrom, np.float32)
        return str(path)

    def _path(self, tomogram_type: str) -> Path:
        return self.path.with_name(self.path.stem + tomogram_type.removeprefix(self.tomogram_type) + self.path.suffix)


def thickness_voxels(text: str, voxel_size_angstrom: float) -> int:
    """Read a thickness: voxels as in ``240``, or Å as in ``2400A``.

    Raises
    ------
    InputError
        If it is neither.
    """
    in_angstrom = text.strip().upper().endswith(("A", "Å"))
    try:
        value = float(text.strip()[:-1] if in_angstrom else text)
        voxels = round(value / voxel_size_angstrom) if in_angstrom else int(text)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise InputError(f"thickness '{text}' is not a number of voxels (240) or of Å (2400A)") from error
    if voxels < 1:
        raise InputError(f"thickness '{text}' is less than one voxel; give voxels (240) or Å (2400A)")
    return voxels


def reconstruct_files(
    run: str,
    files: TiltSeriesFiles,
    options: ReconstructionOptions,
    destination: Destination,
    halves: bool,
    reporter: Reporter,
) -> list[str]:
    """Reconstruct a tilt series and write its tomogram, and on wish those of every second tilt.

    Parameters
    ----------
    run
        Name of the run.
    files
        Stack and alignment.
    options
        Voxel size, thickness, filter, hand.
    destination
        Where the tomograms go.
    halves
        Also write the reconstructions of the even-numbered and of the odd-numbered tilts.
    reporter
        Told of the work.

    Returns
    -------
    list of str
        Where each tomogram went.

    Raises
    ------
    CryoSiamError
        If the input cannot be used or the tomograms cannot be written.
    """
    check_run_name(run, "--run")
    series, notes = load_tilt_series(run, files)
    suffixes = ("", *HALF_SUFFIXES) if halves else ("",)
    if halves and len(series.images) < 4:
        raise InputError(f"{files.stack} has {len(series.images)} images; half reconstructions need at least 4")
    destination.check(run, [options.tomogram_type + suffix for suffix in suffixes], options.voxel_size_angstrom)
    for note in notes:
        reporter.note(f"{run}: {note}")
    written = []
    # Most that can be wrong with the images shows here, before anything is made.
    with reporter.stage(run, "align and weight") as tick:
        weighted = weight_tilt_series(series, options, tick)
    with destination.opened(run):
        for suffix, tilts in zip(suffixes, (None, *weighted.halves()), strict=False):
            tomogram = weighted.tomogram(tilts, suffix)
            with reporter.stage(run, f"back-project {tomogram.tomogram_type}") as tick:
                written.append(destination.write(_watched(tomogram, tick)))
            reporter.note(f"{run}: {_facts(tomogram)} -> {written[-1]}")
    return written


class _WatchedVolume:
    def __init__(self, tomogram: Tomogram, tick: Callable[[int, int], None]) -> None:
        self._volume, self._tick, self._done = tomogram.volume, tick, 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._volume.shape

    def read(self, box: Box) -> np.typing.NDArray[np.float32]:
        region = self._volume.read(box)
        self._done += region.size
        self._tick(int(100 * self._done / np.prod(self.shape)), 100)
        return region


def _watched(tomogram: Tomogram, tick: Callable[[int, int], None]) -> Tomogram:
    from dataclasses import replace

    return replace(tomogram, volume=_WatchedVolume(tomogram, tick))


def _facts(tomogram: Tomogram) -> str:
    depth, height, width = tomogram.shape
    wedge, hand = tomogram.wedge, tomogram.hand
    tilts = f", tilts {wedge.tilt_min_deg:g} to {wedge.tilt_max_deg:g} degrees" if wedge else ""
    angles = f", angles {hand.value}" if hand else ""
    return (
        f"{tomogram.tomogram_type}@{tomogram.voxel_size_angstrom:g}, "
        f"{width} x {height} x {depth} voxels (x, y, z){tilts}{angles}"
    )
