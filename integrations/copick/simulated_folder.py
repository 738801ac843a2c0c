"""The folder of a simulated project: it belongs to one recipe, and nothing in it that others made is lost."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cryosiam.errors import InputError
from cryosiam.files import write_text_whole
from cryosiam.integrations.copick.simulated_objects import forget_species, remove_bare_project_file
from cryosiam.integrations.copick.simulated_ownership import (
    refuse_foreign_in_project,
    run_facts,
    run_folder,
    run_lock,
    visible_runs,
)
from cryosiam.integrations.copick.simulated_truth import FACTS_FILE
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from pathlib import Path


def check_folder(project_folder: Path, content: dict[str, Any], overwrite: bool = False) -> None:
    """See that a folder is free, or holds the project of the same recipe.

    Parameters
    ----------
    project_folder
        To write a project into.
    content
        What tells this project from others: recipe and options.
    overwrite
        Let a simulated project of another recipe pass, if nobody else has worked in it.

    Raises
    ------
    InputError
        If the folder holds another recipe's project, or something else.
    ProductExistsError
        If it is to be begun anew and holds what simulate did not write.
    """
    path = project_folder / FACTS_FILE
    if path.is_file():
        if _json(path) == _plain(content):
            return
        if not overwrite:
            raise InputError(
                f"{project_folder} holds tomograms of another recipe or other products; give another --out, or "
                "--overwrite to begin it anew"
            )
        refuse_foreign_in_project(project_folder)
    elif project_folder.exists() and (not project_folder.is_dir() or any(project_folder.iterdir())):
        raise InputError(f"{project_folder} is there and is no simulated project; give a new or an empty folder")


def claim_folder(project_folder: Path, content: dict[str, Any]) -> None:
    """Note in a folder whose project it is; the runs that another recipe made there are removed.

    Call :func:`check_folder` first. What others added to the project file stays in it.

    Raises
    ------
    ProductExistsError
        If the other recipe's project holds what simulate did not write.
    ProjectLockedError
        If another process writes into one of its runs.
    StorageError
        If the folder cannot be written.
    """
    path = project_folder / FACTS_FILE
    with storage_errors("cannot write"):
        project_folder.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if _json(path) == _plain(content):
                return
            _remove_runs(project_folder)
        write_text_whole(path, json.dumps(content, indent=2) + "\n")


def give_up_folder(project_folder: Path, keep_folder: bool) -> None:
    """Remove a project in which no run was completed; files of others, and a folder to be kept, stay."""
    if visible_runs(project_folder) or not remove_bare_project_file(project_folder):
        return
    (project_folder / FACTS_FILE).unlink(missing_ok=True)
    runs = run_folder(project_folder, "")
    # Folders that hold something else cannot be removed, and stay.
    for path in (runs, runs.parent, *(() if keep_folder else (project_folder,))):
        with suppress(OSError):
            path.rmdir()


def _remove_runs(project_folder: Path) -> None:
    """Remove all runs and their species; refuse before anything is removed."""
    refuse_foreign_in_project(project_folder)
    species: set[str] = set()
    for run in visible_runs(project_folder):
        with run_lock(project_folder, run.name):
            # Anew, under the lock: another command of ours may have worked here until now.
            refuse_foreign_in_project(project_folder)
            species |= set(run_facts(run).get("species", ()))
            shutil.rmtree(run)
    forget_species(project_folder, species)


def _plain(content: dict[str, Any]) -> Any:
    """Return content as it comes back from a JSON file."""
    return json.loads(json.dumps(content))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
