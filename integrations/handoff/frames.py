"""How picked tomograms lie in another program's frame: from its metadata, from the portal, from options."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.known import KnownTomogram
from cryosiam.integrations.handoff.names import Match, match_names, missing_run
from cryosiam.integrations.star.frame import TomogramFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cryosiam.integrations.star.frame import Optics

SIZE_TOLERANCE_VOXELS: Final = 2.0
"""Binned sizes are rounded, by some programs to even numbers."""

_SAME_VOXEL_SIZE: Final = 2e-4
"""Relative difference of voxel sizes that moves no particle by more than a tenth of a voxel in 500."""

_SHOWN: Final = 5


@dataclass(frozen=True)
class PickedTomogram:
    """The tomogram of a run that picks were made on.

    Parameters
    ----------
    run
        Name of the run.
    voxel_size_angstrom
        Voxel size in Å, or None where the project has no tomogram of the run.
    size_xyz
        Size (x, y, z) in voxels.
    path
        File of the tomogram.
    """

    run: str
    voxel_size_angstrom: float | None = None
    size_xyz: tuple[int, int, int] | None = None
    path: str | None = None


@dataclass(frozen=True)
class FrameFacts:
    """Where pixel sizes, unbinned sizes and names come from, as the user says.

    Parameters
    ----------
    tomograms_star
        RELION's ``tomograms.star``, version 4 or 5.
    portal
        Folder with metadata of the data portal.
    warp_xml
        Warp's or M's XML of a tilt series, or the folder of those of all.
    tilt_series_pixel_size_angstrom, tomogram_size_xyz
        For all runs: pixel size in Å and unbinned size (x, y, z), where no file states them.
    binned_by_averaging
        How many voxels along each axis were averaged into one of the tomogram that was picked.
    names
        Run -> name of its tomogram in the other program.
    voxel_size_angstrom
        Voxel size in Å of the tomograms that were picked, where the project has none of them.
    optics
        Optics of all tilt series, where no file states them.
    tomogram_files
        File of each tomogram, in place of the one that a file states: ``{name}`` stands for its name, ``{run}`` for
        that of its run.

    Raises
    ------
    InputError
        If more than one file is given, or a number is impossible.
    """

    tomograms_star: Path | None = None
    portal: Path | None = None
    warp_xml: Path | None = None
    tilt_series_pixel_size_angstrom: float | None = None
    tomogram_size_xyz: tuple[int, int, int] | None = None
    binned_by_averaging: int = 1
    names: Mapping[str, str] = field(default_factory=dict)
    voxel_size_angstrom: float | None = None
    optics: Optics | None = None
    tomogram_files: str | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.tomograms_star, self.portal, self.warp_xml)) > 1:
            raise InputError("give one of --tomograms-star, --portal and --warp-xml; each states the pixel size")
        if self.binned_by_averaging < 1:
            raise InputError(f"--binned-by-averaging must be a whole number from 1, not {self.binned_by_averaging}")
        sizes = {
            "--tilt-series-pixel-size": (self.tilt_series_pixel_size_angstrom,),
            "--tomogram-size": self.tomogram_size_xyz or (),
            "--voxel-size": (self.voxel_size_angstrom,),
        }
        for option, numbers in sizes.items():
            if not all(number is None or (np.isfinite(number) and number > 0) for number in numbers):
                raise InputError(f"{option} must be above zero; correct it")

    @property
    def where(self) -> str:
        """The file or folder that was given, for messages; empty where there is none."""
        return str(self.tomograms_star or self.portal or self.warp_xml or "")


@dataclass(frozen=True)
class Frames:
    """Frames of tomograms, and what the user should know of them.

    Parameters
    ----------
    by_run
        Frame of every run.
    notes
        Sentences on how names were matched and what was not checked.
    """

    by_run: Mapping[str, TomogramFrame]
    notes: tuple[str, ...] = ()


def frames_of(
    picked: Sequence[PickedTomogram], facts: FrameFacts, known: Sequence[KnownTomogram] | None = None
) -> Frames:
    """Return the frame of every tomogram.

    Parameters
    ----------
    picked
        The tomograms that were picked.
    facts
        What the user gave.
    known
        What `known_tomograms` made of it, where it is asked more than once.

    Raises
    ------
    InputError
        If a run is not among the program's tomograms or fits several, what is stated contradicts itself or the size of
        the tomogram that was picked, or a file cannot be used.
    """
    matches = _matches(picked, facts, known_tomograms(facts, picked) if known is None else known)
    frames = {entry.run: frame_of(entry, matches[entry.run].tomogram, facts) for entry in picked}
    notes = [*naming(matches, facts.where), *doubts(picked, frames, matches, facts.where)]
    return Frames(frames, tuple(notes))


def known_tomograms(facts: FrameFacts, picked: Sequence[PickedTomogram]) -> tuple[KnownTomogram, ...] | None:
    """Return the tomograms of the file that was given, or None where there is none."""
    if facts.tomograms_star is not None:
        from cryosiam.integrations.relion.tomograms_star import read_tomograms

        return read_tomograms(facts.tomograms_star)
    if facts.portal is not None:
        from cryosiam.integrations.portal.frames import read_portal_tomograms

        return read_portal_tomograms(facts.portal, picked)
    if facts.warp_xml is not None:
        from cryosiam.integrations.warp.frames import read_warp_tomograms

        return read_warp_tomograms(facts.warp_xml)
    return None


def _matches(
    picked: Sequence[PickedTomogram], facts: FrameFacts, known: Sequence[KnownTomogram] | None
) -> dict[str, Match]:
    runs = [entry.run for entry in picked]
    stray = next((run for run in facts.names if run not in runs), None)
    if stray is not None:
        raise InputError(f"--name {stray}={facts.names[stray]}: there are no picks of a run '{stray}'; correct it")
    if known is None:
        return {run: Match(KnownTomogram(facts.names.get(run, run))) for run in runs}
    paths = {entry.run: entry.path for entry in picked if entry.path}
    matches = match_names(runs, known, facts.where, facts.names, paths)
    for run in runs:
        if run not in matches:
            raise missing_run(run, [tomogram.name for tomogram in known], facts.where)
    return matches


def frame_of(picked: PickedTomogram, known: KnownTomogram, facts: FrameFacts) -> TomogramFrame:
    """Return the frame of a tomogram that both programs know.

    Raises
    ------
    InputError
        If what is stated contradicts itself or the size of the tomogram that was picked.
    """
    size = known.unbinned_size_xyz or facts.tomogram_size_xyz
    if size is not None and facts.tomogram_size_xyz is not None and tuple(size) != tuple(facts.tomogram_size_xyz):
        raise InputError(
            f"{facts.where} has size {_text(size)} for '{known.name}', --tomogram-size says "
            f"{_text(facts.tomogram_size_xyz)}; leave out the one that is wrong"
        )
    voxel_size = _agreed(
        picked.voxel_size_angstrom, facts.voxel_size_angstrom, "--voxel-size", f"the tomogram of run '{picked.run}'"
    )
    pixel_size = _agreed(
        known.pixel_size_angstrom,
        facts.tilt_series_pixel_size_angstrom,
        "--tilt-series-pixel-size",
        f"'{known.name}' in {facts.where}",
    )
    frame = TomogramFrame(
        run=picked.run,
        name=known.name,
        voxel_size_angstrom=voxel_size,
        size_xyz=picked.size_xyz,
        pixel_size_angstrom=pixel_size,
        unbinned_size_xyz=None if size is None else (float(size[0]), float(size[1]), float(size[2])),
        optics=known.optics or facts.optics,
        tomogram_path=_file(picked, known, facts.tomogram_files),
        binned_by_averaging=facts.binned_by_averaging,
    )
    check_sizes(frame)
    return frame


def _agreed(found: float | None, stated: float | None, option: str, what: str) -> float | None:
    if found is not None and stated is not None and abs(found - stated) > _SAME_VOXEL_SIZE * stated:
        raise InputError(f"{what} has {found:g} Å, {option} says {stated:g}; leave out the one that is wrong")
    return stated if found is None else found


def _file(picked: PickedTomogram, known: KnownTomogram, pattern: str | None) -> str | None:
    """Return the file of a tomogram for other programs, which do not read Zarr."""
    if pattern is not None:
        return pattern.replace("{name}", known.name).replace("{run}", picked.run)
    if known.tomogram_path is not None:
        return known.tomogram_path
    return None if picked.path is None or picked.path.rstrip("/").endswith(".zarr") else picked.path


def check_sizes(frame: TomogramFrame) -> None:
    """Refuse a tomogram that is not as large as the unbinned one.

    Raises
    ------
    InputError
        If it was trimmed, turned, or its voxel size is not what was stated, so that the centres differ by an unknown
        amount; or if more voxels were averaged than the tomogram is coarser than the tilt series.
    """
    voxel_size, pixel_size = frame.voxel_size_angstrom, frame.pixel_size_angstrom
    if voxel_size is None or pixel_size is None:
        return
    if frame.binned_by_averaging * pixel_size > voxel_size * (1 + _SAME_VOXEL_SIZE):
        raise InputError(
            f"--binned-by-averaging {frame.binned_by_averaging} does not fit run '{frame.run}': its voxels of "
            f"{voxel_size:g} Å are {voxel_size / pixel_size:.3g} times as wide as the pixels of the tilt series"
        )
    if frame.size_xyz is None or frame.unbinned_size_xyz is None:
        return
    size = np.array(frame.size_xyz) * voxel_size
    unbinned = np.array(frame.unbinned_size_xyz) * pixel_size
    if (np.abs(size - unbinned) > SIZE_TOLERANCE_VOXELS * voxel_size).any():
        raise InputError(
            f"tomogram of run '{frame.run}' is {_text(size)} Å, the unbinned one {_text(unbinned)} Å; "
            "give the size and pixel size of the tomogram that was picked, not trimmed or rotated"
        )


def naming(matches: Mapping[str, Match], where: str) -> list[str]:
    """Return a sentence for every way of matching other than by the same name."""
    by_how: dict[str, list[str]] = defaultdict(list)
    for run, match in matches.items():
        if match.how:
            by_how[match.how].append(f"{run} is {match.tomogram.name}")
    return [f"names in {where}: {_some(pairs)} ({how})" for how, pairs in by_how.items()]


def doubts(
    picked: Sequence[PickedTomogram], frames: Mapping[str, TomogramFrame], matches: Mapping[str, Match], where: str
) -> list[str]:
    """Return sentences on what could not be compared, or does not fit well."""
    notes = []
    bare = [entry.run for entry in picked if entry.voxel_size_angstrom is None]
    if bare:
        notes.append(f"the project has no tomogram of {_some(bare)}, so sizes were not compared")
    for run, match in matches.items():
        theirs = _other_voxel_size(frames[run], match.tomogram.binning)
        if theirs is not None:
            notes.append(
                f"the tomogram of run '{run}' has as many voxels as that in {where}, but of "
                f"{frames[run].voxel_size_angstrom:g} Å in place of {theirs:g} Å; correct the one that is wrong, "
                "since all positions scale with it"
            )
    return notes


def _other_voxel_size(frame: TomogramFrame, binning: float | None) -> float | None:
    """Return the voxel size that the program has for the same volume, where that is another one."""
    if frame.voxel_size_angstrom is None or frame.pixel_size_angstrom is None or binning is None:
        return None
    theirs = binning * frame.pixel_size_angstrom
    sizes = np.array(frame.size_xyz or 0), np.array(frame.unbinned_size_xyz or 0) / binning
    same_volume = bool((np.abs(sizes[0] - sizes[1]) <= 1).all())
    differs = abs(theirs - frame.voxel_size_angstrom) > _SAME_VOXEL_SIZE * theirs
    return theirs if same_volume and differs else None


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _text(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    return " x ".join(f"{value:g}" for value in values)
