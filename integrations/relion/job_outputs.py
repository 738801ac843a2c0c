"""What a job of ours gives to RELION: which of the files it wrote are nodes, and of what type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.integrations.relion.job_folder import OutputNode
from cryosiam.integrations.relion.job_logfile import write_logfile
from cryosiam.integrations.star.star_file import read_star

if TYPE_CHECKING:
    from cryosiam.pipeline.manifest import Manifest

_PARTICLES: Final = 3
_LOGFILE: Final = 13
_OPTIMISATION_SET: Final = 50
"""Types of nodes in RELION 3.1 and the versions between it and 4 (pipeline_jobs.h)."""

_LABELS: Final = {
    5: {
        _PARTICLES: "ParticleGroupMetadata.star.relion.tomo",
        _OPTIMISATION_SET: "TomoOptimisationSet.star.relion.tomo",
        _LOGFILE: "LogFile.pdf.relion",
    },
    4: {
        _PARTICLES: "Particles.star.relion.tomo",
        _OPTIMISATION_SET: "ProcessData.star.relion.tomo.optimisation_set",
        _LOGFILE: "LogFile.pdf.relion",
    },
}
"""The same in the words of RELION 4 and 5."""

_ALL: Final = "particles.star"
_PICKS: Final = "picks.star"
"""In voxels of the picked tomogram, which RELION does not read."""


def write_outputs(folder: Path, manifest: Manifest, relion_version: int = 5) -> list[OutputNode]:
    """Write ``logfile.pdf`` and return the files that other jobs can take or the user can look at, none without picks.

    Parameters
    ----------
    folder
        The job's folder, as RELION named it; nodes are named likewise.
    manifest
        What the job wrote.
    relion_version
        4 or 5: whose project it is.

    Raises
    ------
    InputError
        If the particles cannot be read.
    StorageError
        If the file cannot be written.
    """
    paths = [Path(location) for location in (manifest.summary.locations if manifest.summary else ())]
    stars = [path for path in paths if path.suffix == ".star" and path.name != _PICKS]
    if not stars:
        return []
    _write_logfile(folder, manifest)
    kinds = [(path.name, _OPTIMISATION_SET if path.stem.endswith("optimisation_set") else _PARTICLES) for path in stars]
    named = Path(os.path.normpath(folder))
    return [
        OutputNode(named / name, _LABELS[relion_version][kind], kind)
        for name, kind in (*kinds, ("logfile.pdf", _LOGFILE))
    ]


def _write_logfile(folder: Path, manifest: Manifest) -> None:
    table = read_star(folder / _ALL).block("particles", "")
    if table is None:
        raise InputError(f"{folder / _ALL} has no particles in it; run the job again")
    products = [record.products.get("overlay") for record in manifest.runs.values()]
    pictures = [Path(place) for product in products if product for place in product.locations]
    write_logfile(
        folder / "logfile.pdf",
        table.text("rlnTomoName"),
        table.text("cryosiamClassName"),
        table.numbers("rlnAutopickFigureOfMerit"),
        [picture for picture in pictures if picture.exists()],
    )
