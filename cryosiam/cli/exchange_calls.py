"""What ``cryosiam export`` and ``cryosiam import`` do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryosiam.cli.exchange_facts import frame_facts, optics_of
from cryosiam.errors import InputError
from cryosiam.integrations.handoff.exporting import ExportRequest, prepare_export, write_export
from cryosiam.integrations.handoff.importing import ImportRequest, prepare_import, write_import
from cryosiam.integrations.handoff.next_steps import next_step
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.progress import reporter
from cryosiam.ports import ProductKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryosiam.cli.export import ExportOptions
    from cryosiam.cli.import_ import ImportOptions


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
        facts=replace(frame_facts(options), optics=optics_of(options.optics), tomogram_files=options.tomogram_files),
        threshold=options.threshold,
    )
    with reporter(options.quiet) as reporting:
        export = prepare_export(request)
        refuse_read_only(options.out, "give another --out")
        for note in export.notes:
            reporting.warn(note)
        written = write_export(
            export,
            request,
            options.out,
            one_file=options.one_file,
            overwrite=options.overwrite,
            dry_run=options.dry_run,
        )
        reporting.note(f"{'would write ' if options.dry_run else ''}{_text(export.counts, export.runs)}:")
        for path in written.paths:
            reporting.note(f"  {path}")
        for sentence in written.lost:
            reporting.warn(sentence)
        if not options.dry_run:
            reporting.note(next_step(request, export, options.out, written.paths))


def import_particles(options: ImportOptions) -> None:
    """Take particles in, or say what that would mean.

    Raises
    ------
    CryoSiamError
        If an option, the project or the file cannot be used, or picks are there already.
    """
    request = ImportRequest(
        file=options.file,
        config_path=options.copick,
        key=ProductKey(options.user_id, options.session_id),
        dialect=load_dialect(options.dialect) if options.dialect else None,
        objects=_objects(options.objects or []),
        runs=tuple(options.runs) if options.runs else None,
        tomogram=options.tomogram,
        facts=frame_facts(options),
        skip_unknown=options.skip_unknown,
        add_objects=not options.no_add_objects,
        overwrite=options.overwrite,
    )
    with reporter(options.quiet) as reporting:
        prepared = prepare_import(request)
        for note in prepared.notes:
            reporting.warn(note)
        where = f"{options.copick}, user {options.user_id}, session {options.session_id}"
        new = f"; new objects: {', '.join(prepared.new_objects)}" if prepared.new_objects else ""
        if options.dry_run:
            reporting.note(f"would write {_text(prepared.counts, prepared.runs)} into {where}{new}")
            return
        paths = write_import(prepared, request)
        reporting.note(f"{_text(prepared.counts, prepared.runs)} into {where}{new}:")
        for path in paths:
            reporting.note(f"  {path}")


def _objects(texts: list[str]) -> dict[str, str]:
    """Return the object of every class that is named; the empty class stands for all others."""
    objects: dict[str, str] = {}
    for text in texts:
        class_name, equals, name = text.rpartition("=")
        if not name or (equals and not class_name):
            raise InputError(f"--object '{text}' is no name; write it as NAME, or as CLASS=NAME")
        if objects.setdefault(class_name, name) != name:
            raise InputError(f"--object names both '{objects[class_name]}' and '{name}' for the same particles")
    return objects


def _text(counts: Mapping[str, int], runs: Sequence[str]) -> str:
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{sum(counts.values())} particles of {len(runs)} {'run' if len(runs) == 1 else 'runs'} ({listed})"
