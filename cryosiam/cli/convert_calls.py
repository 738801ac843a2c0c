"""What ``cryosiam convert`` does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryosiam.cli.exchange_facts import frame_facts
from cryosiam.integrations.handoff.converting import ConvertRequest, convert_particles
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.progress import reporter


@dataclass(frozen=True)
class ConvertOptions:
    """What the user asked for; see the command's options."""

    file: Path
    source: str | None
    to: str
    species: str | None
    out: Path
    tomograms_star: Path | None
    warp_xml: Path | None
    voxel_size: float | None
    tilt_series_pixel_size: float | None
    tomogram_size: str | None
    tomogram_files: str | None
    overwrite: bool
    quiet: bool
    portal: Path | None = None
    binned_by_averaging: int = 1
    names: list[str] | None = None


def convert_file(options: ConvertOptions) -> None:
    """Convert a file and say what was written.

    Raises
    ------
    CryoSiamError
        If an option or the file cannot be used, or the folder cannot be written.
    """
    facts = replace(frame_facts(options), tomogram_files=options.tomogram_files)
    stem = options.file.name.removesuffix(".gz").rsplit(".", 1)[0]
    request = ConvertRequest(
        file=options.file,
        source=load_dialect(options.source) if options.source else None,
        target=load_dialect(options.to),
        facts=facts,
        species=options.species or stem,
        out=options.out,
        overwrite=options.overwrite,
    )
    with reporter(options.quiet) as reporting:
        refuse_read_only(options.out, "give another --out")
        converted = convert_particles(request)
        for note in converted.notes:
            reporting.warn(note)
        reporting.note(f"{converted.count} particles:")
        for path in converted.written.paths:
            reporting.note(f"  {path}")
        for sentence in converted.written.lost:
            reporting.warn(sentence)
