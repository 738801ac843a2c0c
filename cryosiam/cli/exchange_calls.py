"""What ``cryosiam export`` and ``cryosiam import`` do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.exporting import ExportRequest, prepare_export, write_export
from cryosiam.integrations.handoff.frames import FrameFacts
from cryosiam.integrations.handoff.next_steps import next_step
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.progress import reporter

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.cli.export import ExportOptions
    from cryosiam.integrations.handoff.exporting import Export


def export_project(options: ExportOptions) -> None:
    """Hand picks over, or say what that would mean.

    Raises
    ------
    CryoSiamError
        If an option, the project or a file cannot be used, or the folder cannot be written.
    """
    request = ExportRequest(
        config_path=options.copick,
        uris=tuple(options.picks),
        dialect=load_dialect(options.to),
        runs=tuple(options.runs) if options.runs else None,
        tomogram=options.tomogram,
        facts=frame_facts(options),
        threshold=options.threshold,
    )
    with reporter(options.quiet) as reporting:
        export = prepare_export(request)
        refuse_read_only(options.out, "give another --out")
        for note in export.notes:
            reporting.warn(note)
        if options.dry_run:
            reporting.note(f"would write {_contents(export)} to {options.out} for {options.to}")
            return
        written = write_export(export, request, options.out, options.one_file)
        reporting.note(f"{_contents(export)}:")
        for path in written.paths:
            reporting.note(f"  {path}")
        for sentence in written.lost:
            reporting.warn(sentence)
        reporting.note(next_step(request, export, written.paths))


class _FrameOptions(Protocol):
    tomograms_star: Path | None
    portal: Path | None
    warp_xml: Path | None
    tilt_series_pixel_size: float | None
    tomogram_size: str | None
    binned_by_averaging: int
    names: list[str] | None


def frame_facts(options: _FrameOptions) -> FrameFacts:
    """Return what the options say of how tomograms lie in the other program's frame.

    Raises
    ------
    InputError
        If an option is malformed or impossible.
    """
    return FrameFacts(
        tomograms_star=options.tomograms_star,
        portal=options.portal,
        warp_xml=options.warp_xml,
        tilt_series_pixel_size_angstrom=options.tilt_series_pixel_size,
        tomogram_size_xyz=_tomogram_size(options.tomogram_size),
        binned_by_averaging=options.binned_by_averaging,
        names=_names(options.names or []),
    )


def _tomogram_size(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        x, y, z = (int(part) for part in re.split(r"[,x ]+", text.strip()))
    except ValueError as error:
        raise InputError(f"--tomogram-size '{text}' is not three numbers; write it as X,Y,Z") from error
    return x, y, z


def _names(pairs: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in pairs:
        run, equals, name = pair.partition("=")
        if not (run and equals and name):
            raise InputError(f"--name '{pair}' is not a pair; write it as RUN=NAME")
        if names.setdefault(run, name) != name:
            raise InputError(f"--name gives run '{run}' two names, {names[run]} and {name}; leave one out")
    return names


def _contents(export: Export) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in export.counts.items())
    runs = len({entry.frame.run for entry in export.sets})
    return f"{sum(export.counts.values())} particles of {runs} {'run' if runs == 1 else 'runs'} ({counts})"
