"""Which files in a simulated project simulate wrote; all others are somebody's work, and are never deleted."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryosiam.errors import ProductExistsError
from cryosiam.integrations.copick.simulated_objects import OVERLAY
from cryosiam.integrations.copick.simulated_truth import FACTS_FILE, TRUTH_FOLDER
from cryosiam.integrations.locks import held

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS_FOLDER: Final = "ExperimentRuns"
FILES_KEY: Final = "files"
"""Key in a run's facts of the names of all that was written."""

_LOCKS: Final = ".cryosiam"
"""Folder in the overlay of the locks that cryosiam's copick sink holds too."""
_META: Final = ".meta"
"""File that copick writes into folders that it makes; it says nothing."""


def run_folder(project_folder: Path, run_name: str) -> Path:
    """Return the folder of a run; it is there once the run is complete."""
    return project_folder / OVERLAY / RUNS_FOLDER / run_name


def visible_runs(project_folder: Path) -> list[Path]:
    """Return the folders of complete runs; names that begin with a dot are what killed processes left."""
    return sorted(
        path for path in run_folder(project_folder, "").glob("*") if path.name[0] != "." and not path.is_symlink()
    )


def files_in(folder: Path) -> list[str]:
    """Return the names of all files under a folder in order, relative to it; a Zarr folder and a link are one each."""
    return sorted(_files_in(folder))


def run_facts(run: Path) -> dict[str, Any]:
    """Return what simulate noted of a run; nothing where that is not there or cannot be read."""
    try:
        facts = json.loads((run / TRUTH_FOLDER / FACTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def foreign_file(run: Path) -> Path | None:
    """Return a file of a run that simulate did not write, or None."""
    own = set(run_facts(run).get(FILES_KEY, ()))
    return next((run / name for name in files_in(run) if name not in own), None)


def refuse_foreign_in_run(project_folder: Path, run_name: str) -> None:
    """Refuse to make a run again that holds others' work: it would be lost, or belong to another tomogram.

    Raises
    ------
    ProductExistsError
        If there is such a file; names one.
    """
    run = run_folder(project_folder, run_name)
    found = foreign_file(run) if run.exists() else None
    if found is not None:
        raise ProductExistsError(
            f"run '{run_name}' of {project_folder} holds {found.relative_to(run)}, which simulate did not write and "
            "which would not fit the tomogram made anew; move it away or delete it, or give another --out"
        )


def refuse_foreign_in_project(project_folder: Path) -> None:
    """Refuse to begin a project anew that holds others' work.

    Raises
    ------
    ProductExistsError
        If there is such a file; names one.
    """
    found = next(_foreign_files(project_folder), None)
    if found is not None:
        raise ProductExistsError(
            f"{project_folder} holds {found.relative_to(project_folder)}, which simulate did not write and which "
            "would be lost with the tomograms of the other recipe; move it away or delete it, or give another --out"
        )


@contextmanager
def run_lock(project_folder: Path, run_name: str) -> Iterator[None]:
    """Hold a run that is there, by the lock that every command of ours takes before it writes into a run.

    Raises
    ------
    ProjectLockedError
        If another process holds it.
    """
    lock = project_folder / OVERLAY / _LOCKS / "locks" / f"{run_name}.lock"
    with held(lock, f"run '{run_name}' of {project_folder}"):
        yield


def _files_in(folder: Path) -> Iterator[str]:
    for place, subfolders, files in os.walk(folder):
        whole = [name for name in subfolders if name.endswith(".zarr") or Path(place, name).is_symlink()]
        subfolders[:] = [name for name in subfolders if name not in whole]
        for name in (*whole, *files):
            if name != _META:
                yield Path(place, name).relative_to(folder).as_posix()


def _foreign_files(project_folder: Path) -> Iterator[Path]:
    overlay = project_folder / OVERLAY
    runs = visible_runs(project_folder)
    yield from filter(None, map(foreign_file, runs))
    known = {run.name for run in runs}
    for name in files_in(overlay):
        top, *below = Path(name).parts
        # Folders with a dot are locks, and what a killed process left of a run of ours.
        ours = top == _LOCKS or (top == RUNS_FOLDER and len(below) > 1 and (below[0] in known or below[0][0] == "."))
        if not ours:
            yield overlay / name
