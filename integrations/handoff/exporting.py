"""Picks of a copick project to another program's files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import Picks
from cryosiam.errors import InputError
from cryosiam.integrations.copick.picked_tomogram import picked_tomogram
from cryosiam.integrations.copick.project import CopickProject
from cryosiam.integrations.copick.stored_picks import PickSet, StoredPicks, find_pick_sets, read_pick_set
from cryosiam.integrations.handoff.frames import FrameFacts, frames_of
from cryosiam.integrations.star.exchange import FramedPicks, Written, write_particles
from cryosiam.integrations.star.fields import HOW, PLACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryosiam.integrations.star.dialect import Dialect
    from cryosiam.integrations.star.frame import TomogramFrame


@dataclass(frozen=True)
class ExportRequest:
    """What the user asks for.

    Parameters
    ----------
    config_path
        The copick project's JSON file.
    uris
        Pick sets as ``object:user/session``, in copick's manner.
    dialect
        What the other program wants.
    runs
        Names of the runs; all that have such picks for None.
    tomogram
        Tomogram that was picked, such as ``wbp@10.0``; needed where a run has several of different sizes.
    facts
        Where pixel sizes, unbinned sizes and names come from.
    threshold
        Picks that score less are left out.
    """

    config_path: Path
    uris: tuple[str, ...]
    dialect: Dialect
    runs: tuple[str, ...] | None = None
    tomogram: str | None = None
    facts: FrameFacts = field(default_factory=FrameFacts)
    threshold: float | None = None


@dataclass(frozen=True)
class Export:
    """Picks ready to be written.

    Parameters
    ----------
    sets
        Picks of every run that has any.
    notes
        Sentences that the user should read.
    radii_angstrom
        Radius of the objects that have one.
    """

    sets: tuple[FramedPicks, ...]
    notes: tuple[str, ...]
    radii_angstrom: Mapping[str, float]

    @property
    def counts(self) -> dict[str, int]:
        """Number of particles of every species."""
        counts: dict[str, int] = defaultdict(int)
        for entry in self.sets:
            for name in entry.picks.class_names:
                counts[name] += 1
        return dict(sorted(counts.items()))

    @property
    def runs(self) -> list[str]:
        """The runs, sorted."""
        return sorted({entry.frame.run for entry in self.sets})


def prepare_export(request: ExportRequest) -> Export:
    """Read the picks, find out how their tomograms lie in the other program's frame, and check that it can be stated.

    Nothing is written.

    Raises
    ------
    InputError
        If there are no such picks, a file is damaged, or something that the dialect needs is unknown or contradicts
        itself.
    """
    project = CopickProject(request.config_path)
    runs = project.select_runs(request.runs, number_is_fine=True)
    groups: dict[tuple[str, str], list[_Read]] = defaultdict(list)
    for entry in find_pick_sets(project, runs, request.uris):
        stored = read_pick_set(entry)
        if len(stored):
            groups[entry.run, entry.object_name].append((entry, stored))
    joined = {key: _joined(*key, sets, request.threshold) for key, sets in groups.items()}
    joined = {key: picks for key, picks in joined.items() if len(picks)}
    if not joined:
        raise InputError(_why_none(request, bool(groups)))
    told: dict[str, set[str]] = {run: set() for run, _ in joined}
    for run, name in joined:
        told[run] |= {stored.tomogram for _, stored in groups[run, name] if stored.tomogram}
    picked = [picked_tomogram(project, run, request.tomogram, names) for run, names in told.items()]
    frames = frames_of(picked, request.facts)
    for frame in frames.by_run.values():
        check_facts(request.dialect, frame)
    return Export(
        tuple(FramedPicks(frames.by_run[run], picks) for (run, _), picks in joined.items()),
        (*frames.notes, *_doubles(groups)),
        {item.name: item.radius_angstrom for item in project.config.objects if item.radius_angstrom},
    )


def check_facts(dialect: Dialect, frame: TomogramFrame) -> None:
    """Refuse a tomogram of which something is unknown that the dialect's coordinates need.

    Raises
    ------
    InputError
        If so; says what to give.
    """
    layouts = (dialect, *(layout for layout in dialect.companions if layout.required))
    blocks = [block for layout in layouts for block in layout.blocks if block.required]
    needed = {column.field for block in blocks for column in block.columns if column.required}
    groups = {field.partition(".")[0] for field in needed}
    where = f"for {dialect.name} tomogram '{frame.name}' lacks"
    if _CENTRED in groups and frame.pixel_size_angstrom is None and frame.unbinned_size_xyz is None:
        raise InputError(
            f"{where} its unbinned size and the pixel size of its tilt series; give --tomograms-star FILE, "
            "--portal FOLDER or --warp-xml XML, or --tilt-series-pixel-size Å and --tomogram-size X,Y,Z"
        )
    if "pixel_size" in needed and frame.pixel_size_angstrom is None:
        raise InputError(f"{where} {HOW['pixel_size_angstrom']}")
    if frame.optics is None and any(field.startswith("optics_") for field in needed):
        raise InputError(f"{where} {HOW['optics']}, or --optics KV,CS,Q0")
    for group in groups & set(PLACES):
        PLACES[group].write(frame, np.zeros((0, 3)))


_CENTRED: Final = "centred"


def write_export(
    export: Export,
    request: ExportRequest,
    folder: Path,
    *,
    one_file: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Written:
    """Write the files, or find out which they would be.

    Paths inside them are relative to the folder of the RELION project that ``tomograms.star`` is in, else to the
    current one.

    Parameters
    ----------
    export, request
        What `prepare_export` made, and of what.
    folder
        Folder to write into.
    one_file
        All species in one file.
    overwrite
        Replace files that are there.
    dry_run
        Compute and check everything, and write nothing.

    Raises
    ------
    CryoSiamError
        If a name cannot stand in the files, or they cannot be written.
    """
    return write_particles(
        folder,
        request.dialect,
        export.sets,
        one_file=one_file,
        project_root=relion_root(request.facts.tomograms_star),
        tomograms_star=request.facts.tomograms_star,
        overwrite=overwrite,
        dry_run=dry_run,
    )


def relion_root(tomograms_star: Path | None) -> Path:
    """Return the folder of the RELION project that a ``tomograms.star`` is in, or the current one."""
    above = [] if tomograms_star is None else tomograms_star.absolute().parents
    return next((folder for folder in above if (folder / "default_pipeline.star").exists()), Path.cwd())


_Read = tuple[PickSet, StoredPicks]


def _joined(run: str, name: str, sets: Sequence[_Read], threshold: float | None) -> Picks:
    """Return the picks of one object in a run; orientations only where every set has them."""
    columns = [stored for _, stored in sets]
    rotations = [stored.rotations for stored in columns if stored.rotations is not None]
    picks = Picks(
        run=run,
        positions_angstrom=np.concatenate([stored.positions_angstrom for stored in columns]),
        scores=np.concatenate([stored.scores for stored in columns]),
        class_names=(name,) * sum(map(len, columns)),
        instance_ids=np.concatenate([stored.instance_ids for stored in columns]),
        rotations=np.concatenate(rotations) if len(rotations) == len(columns) else None,
    )
    return picks if threshold is None else picks.select(picks.scores >= threshold)


def _why_none(request: ExportRequest, any_picks: bool) -> str:
    names = ", ".join(request.uris)
    if any_picks:
        return f"no pick of '{names}' in {request.config_path} scores {request.threshold:g} or more; lower --threshold"
    return f"the picks '{names}' in {request.config_path} are empty, so there is nothing to hand over; name other picks"


def _doubles(groups: Mapping[tuple[str, str], Sequence[_Read]]) -> list[str]:
    """Return a sentence for every object that more than one user or session picked in the same run."""
    makers: dict[str, set[str]] = defaultdict(set)
    for (_, name), sets in groups.items():
        if len(sets) > 1:
            makers[name] |= {f"{entry.user_id}/{entry.session_id}" for entry, _ in sets}
    return [
        f"'{name}' comes from {len(names)} sets ({', '.join(sorted(names))}); particles that more than one of them "
        "picked are handed over more than once"
        for name, names in sorted(makers.items())
    ]
