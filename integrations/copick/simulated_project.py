"""Simulated tomograms with their ground truth, as a copick project that any copick tool opens."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import cryosiam
from cryosiam.domain import ArrayVolume, Contrast, Tomogram
from cryosiam.integrations.copick.folders import whole_folder
from cryosiam.integrations.copick.picks_file import write_picks_file
from cryosiam.integrations.copick.simulated_objects import (
    PROJECT_FILE,
    check_species_names,
    write_project_file,
)
from cryosiam.integrations.copick.simulated_ownership import (
    FILES_KEY,
    files_in,
    refuse_foreign_in_run,
    run_facts,
    run_folder,
    run_lock,
)
from cryosiam.integrations.copick.simulated_truth import (
    RECIPE_FILE,
    TRUTH_FILES,
    TRUTH_FOLDER,
    recipe_text,
    write_truth,
)
from cryosiam.integrations.copick.simulated_volumes import MAIN_TYPE, TRUTH, write_volumes
from cryosiam.integrations.imod.simulated_series import write_tilt_series
from cryosiam.integrations.run_names import check_run_name
from cryosiam.pipeline.storage import folder_lock, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.tomogram import SimulatedTomogram

SERIES_FOLDER: Final = "TiltSeries"
"""Folder within a run of the tilt series; copick, which has no word for one, passes over it."""

_META: Final = "meta"
"""What copick itself writes into the ``.meta`` file of a run and of a voxel spacing."""


@dataclass(frozen=True)
class WriteOptions:
    """What to write of a simulated tomogram besides its volumes and picks.

    Parameters
    ----------
    maps
        Signed distance and boundary maps, as features of ``wbp``.
    tilt_series
        The tilt series, where there is one.
    """

    maps: bool = False
    tilt_series: bool = True


class RunState(Enum):
    """What is there of a run."""

    ABSENT = "absent"
    COMPLETE = "complete"
    OTHER = "other"
    """A complete run of another recipe, seed or choice of products."""


def run_state(project_folder: Path, run_name: str, spec: SimulationSpec, seed: int, options: WriteOptions) -> RunState:
    """Tell whether a run is there and is the one that this recipe and seed make."""
    folder = run_folder(project_folder, run_name)
    if not folder.exists():
        return RunState.ABSENT
    try:
        recipe = (folder / TRUTH_FOLDER / RECIPE_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return RunState.OTHER
    facts = run_facts(folder)
    asked = _request(seed, options)
    same = recipe == recipe_text(spec.for_seed(seed)) and {key: facts.get(key) for key in asked} == asked
    return RunState.COMPLETE if same else RunState.OTHER


def write_tomogram(
    project_folder: Path, tomogram: SimulatedTomogram, run_name: str, *, options: WriteOptions | None = None
) -> Path:
    """Write a run, whole or not at all; a run of this name is replaced if it holds nothing that others wrote.

    The project file is written where there is none, and gets the species that it lacks. Under user ``truth``, session
    ``1``: tomograms ``wbp`` (noisy), ``wbp-ctfcorr``, ``wbp-even``, ``wbp-odd`` (where they were made) and ``clean``;
    multilabel segmentation ``semantic``, segmentation ``sample``, instances ``particle``, panoptic segmentation
    ``panoptic``; oriented picks of each species, with instance ids and, as score, the share of the particle inside the
    volume. Beside what copick knows: ``TiltSeries`` (:func:`cryosiam.integrations.imod.simulated_series`) and
    ``Simulation`` (:func:`cryosiam.integrations.copick.simulated_truth.write_truth`). The same tomogram is written as
    the same bytes.

    Parameters
    ----------
    project_folder
        Folder of ``project.json``; made if it is not there.
    tomogram
        What was simulated.
    run_name
        Name of the run.
    options
        What to write besides.

    Returns
    -------
    Path
        Folder of the run.

    Raises
    ------
    InputError
        If copick cannot store the run's or a species' name.
    ProductExistsError
        If a run of this name holds what simulate did not write.
    ProjectLockedError
        If another process writes this run.
    StorageError
        If the disk is full or the folder cannot be written; nothing of the run is left.
    """
    options = options or WriteOptions()
    check_run_name(run_name, str(project_folder))
    radii = tomogram.specimen.radii_angstrom
    check_species_names(radii)
    with storage_errors("cannot write"):
        project_folder.mkdir(parents=True, exist_ok=True)
        destination = run_folder(project_folder, run_name)
        lock = project_folder / f".{run_name}.lock"
        with folder_lock(destination, lock), ExitStack() as held:
            try:
                if destination.exists():
                    held.enter_context(run_lock(project_folder, run_name))
                    refuse_foreign_in_run(project_folder, run_name)
                with whole_folder(destination) as folder:
                    _write_run(folder, tomogram, run_name, options)
                with _alone_in(project_folder):
                    write_project_file(project_folder, radii, tomogram.specimen.masses_kda)
            finally:
                lock.unlink()
    return destination


def project_file(project_folder: Path) -> Path:
    """Return the project file of a folder."""
    return project_folder / PROJECT_FILE


def _write_run(folder: Path, tomogram: SimulatedTomogram, run_name: str, options: WriteOptions) -> None:
    write_volumes(folder, tomogram, options.maps)
    _write_picks(folder, tomogram, run_name)
    if options.tilt_series and tomogram.series is not None:
        (folder / SERIES_FOLDER).mkdir()
        write_tilt_series(folder / SERIES_FOLDER, run_name, tomogram.series, tomogram.spec.microscope)
    files = sorted([*files_in(folder), *(f"{TRUTH_FOLDER}/{name}" for name in TRUTH_FILES)])
    facts = {"run": run_name, "cryosiam": cryosiam.__version__, **_request(tomogram.seed, options), FILES_KEY: files}
    write_truth(folder / TRUTH_FOLDER, tomogram, facts)
    for place in (folder, *folder.glob("VoxelSpacing*")):
        (place / ".meta").write_text(_META, encoding="utf-8")


def _write_picks(folder: Path, tomogram: SimulatedTomogram, run_name: str) -> None:
    """Write a set of picks for each species that is there."""
    (folder / "Picks").mkdir()
    specimen = tomogram.specimen
    origin = Tomogram(
        run=run_name,
        volume=ArrayVolume(tomogram.noisy),
        voxel_size_angstrom=specimen.voxel_size_angstrom,
        tomogram_type=MAIN_TYPE,
        source="simulation",
        contrast=Contrast.DARK,
    )
    for name in sorted(set(specimen.picks.class_names)):
        path = folder / "Picks" / f"{TRUTH.user_id}_{TRUTH.session_id}_{name}.json"
        write_picks_file(path, replace(specimen.picks.of_class(name), run=run_name), name, TRUTH, origin)


def _request(seed: int, options: WriteOptions) -> dict[str, Any]:
    """Return what, beside the recipe, decides what a run holds."""
    return {"seed": seed, "products": asdict(options)}


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder itself, for moments: no lock file is left in it, and the lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
