"""Write picks from elsewhere into a copick project: all sets, or none."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryosiam.errors import InputError
from cryosiam.files import whole_file
from cryosiam.integrations.copick.config import check_name
from cryosiam.integrations.copick.objects import ensure_objects, missing_objects, refuse_missing
from cryosiam.integrations.copick.picks_file import picks_text
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.integrations.copick.stored_picks import IMPORTED
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.domain import Picks
    from cryosiam.ports import ProductKey


@dataclass(frozen=True)
class ImportedPicks:
    """Picks of one object in one run.

    Parameters
    ----------
    object_name
        The pickable object.
    picks
        The picks; their class names are not used.
    voxel_size_angstrom
        Voxel size of the run's tomogram, where it is known.
    source
        File they come from.
    """

    object_name: str
    picks: Picks
    voxel_size_angstrom: float | None
    source: str


class PicksImporter:
    """Writes sets of picks into the overlay of a copick project.

    Parameters
    ----------
    config_path
        The project's JSON file.
    key
        User and session of the sets.
    add_objects
        Add to the project file the objects that it lacks.
    overwrite
        Replace sets of the same user, session and object.

    Raises
    ------
    InputError
        If the project cannot be used, its overlay is on another machine, or copick cannot store user or session.
    """

    def __init__(self, config_path: Path, key: ProductKey, add_objects: bool = True, overwrite: bool = False) -> None:
        check_name(key.user_id, "user id")
        check_name(key.session_id, "session id")
        self._sink = CopickSink(config_path, add_objects=add_objects, overwrite=overwrite)
        self._config_path = config_path
        self._key = key
        self._add_objects = add_objects

    def check(self, sets: Sequence[ImportedPicks]) -> list[str]:
        """Find out whether the sets can be written; return the objects that would be added.

        Raises
        ------
        InputError
            If copick cannot store an object's name, or the project lacks an object and none may be added.
        ProductExistsError
            If a set is there already and may not be replaced.
        StorageError
            If the overlay cannot be written.
        """
        names = _object_names(sets)
        for name in names:
            _check_object(name)
        if not self._add_objects:
            refuse_missing(self._config_path, names)
        for entry in sets:
            self._sink.refuse_existing(entry.picks.run, f"Picks/{self._file_name(entry)}")
        for run in {entry.picks.run for entry in sets}:
            refuse_read_only(self._sink.run_folder(run), "use a copy of the project in a folder you may write to")
        return missing_objects(self._config_path, names)

    def write(self, sets: Sequence[ImportedPicks]) -> list[Path]:
        """Write the sets and return their files. Either all of them are there afterwards, or none.

        Raises
        ------
        ProjectLockedError
            If another process holds one of the runs.
        CryoSiamError
            As `check`.
        """
        runs = sorted({entry.picks.run for entry in sets})
        with ExitStack() as locks:
            for run in runs:
                locks.enter_context(self._sink.lock(run))
            self.check(sets)
            with storage_errors("cannot write picks"), ExitStack() as files:
                paths = [self._write(entry, files) for entry in sets]
                ensure_objects(self._config_path, self._sink.config_lock, _object_names(sets), {})
            return paths

    def _write(self, entry: ImportedPicks, files: ExitStack) -> Path:
        """Write a set under a temporary name that becomes the true one when ``files`` is closed."""
        self._sink.make_run(entry.picks.run)
        path = self._sink.run_folder(entry.picks.run) / "Picks" / self._file_name(entry)
        path.parent.mkdir(exist_ok=True)
        ours = {IMPORTED: {"file": entry.source}}
        text = picks_text(entry.picks, entry.object_name, self._key, entry.voxel_size_angstrom, ours)
        files.enter_context(whole_file(path)).write_text(text, encoding="utf-8")
        return path

    def _file_name(self, entry: ImportedPicks) -> str:
        return f"{self._key.user_id}_{self._key.session_id}_{entry.object_name}.json"


def _object_names(sets: Sequence[ImportedPicks]) -> list[str]:
    return sorted({entry.object_name for entry in sets})


def _check_object(name: str) -> None:
    try:
        check_name(name, "object name")
    except InputError as error:
        raise InputError(f"{error}, with --object '{name}=NAME'") from error
