"""What a job of ours gives to RELION: which of the files it wrote are nodes, and of what type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.integrations.relion.job_folder import OutputNode

if TYPE_CHECKING:
    from cryosiam.pipeline.manifest import Manifest

_PARTICLES: Final = ("ParticleGroupMetadata.star.relion.tomo", 3)
_OPTIMISATION_SET: Final = ("TomoOptimisationSet.star.relion.tomo", 50)
_LOGFILE: Final = ("LogFile.pdf.relion", 13)
"""Labels of RELION 5 and numbers of RELION 3.1 (pipeline_jobs.h of both)."""

_PICKS: Final = "picks.star"
"""In voxels of the picked tomogram, which RELION does not read."""


def output_nodes(folder: Path, manifest: Manifest) -> list[OutputNode]:
    """Return the files that other jobs can take or the user can look at.

    Parameters
    ----------
    folder
        The job's folder, as RELION named it; nodes are named likewise.
    manifest
        What the job wrote.

    Raises
    ------
    InputError
        If there are no particles: without them no other job can go on.
    """
    summary = manifest.summary
    nodes = []
    for location in summary.locations if summary else ():
        path = Path(location)
        if path.suffix == ".star" and path.name != _PICKS and path.parent == folder.absolute():
            kind = _OPTIMISATION_SET if "optimisation_set" in path.name else _PARTICLES
            nodes.append(OutputNode(Path(os.path.normpath(folder)) / path.name, *kind))
    if not nodes:
        raise InputError("no particles were found; lower the parameter 'threshold', or look at the pictures in the job")
    return nodes
