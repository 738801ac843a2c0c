"""copick projects as sink: tomograms, segmentations, instance segmentations, picks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.copick.config import PickableObject, check_name
from cryosiam.integrations.copick.objects import ensure_objects, missing_objects, refuse_missing
from cryosiam.integrations.copick.ome import ATTRIBUTE
from cryosiam.integrations.copick.picks_file import write_picks_file
from cryosiam.integrations.copick.project import CopickProject
from cryosiam.integrations.copick.zarr_writer import write_volume
from cryosiam.integrations.locks import held
from cryosiam.integrations.run_names import check_run_name
from cryosiam.integrations.volumes import RelabelledVolume, largest_label
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.storage import storage_errors
from cryosiam.ports import Capabilities, ProductKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.domain.tomogram import Volume

SEMANTIC_NAME: Final = "semantic"
"""Name of the multilabel segmentation."""

TOMOGRAM_LEVELS: Final = 3

_HINT: Final = "use a copy of the project in a folder you may write to"


class CopickSink:
    """Write products into the overlay of a copick project of type ``filesystem``.

    Parameters
    ----------
    config_path
        The project's JSON file.
    objects
        Names of pickable objects for those of our classes that have another name in the project.
    add_objects
        Add to the project file the objects that our products need; otherwise their absence is an error.
    overwrite
        Replace products of the same user and session.

    Raises
    ------
    InputError
        If the project cannot be used, or its overlay is on another machine.
    """

    capabilities = Capabilities(
        name="copick",
        summary="copick projects (filesystem configuration, into the overlay)",
        accepts=frozenset({"tomograms", "segmentations", "instances", "picks", "scores", "classes", "orientations"}),
    )

    def __init__(
        self,
        config_path: Path | str,
        objects: Mapping[str, str] | None = None,
        add_objects: bool = True,
        overwrite: bool = False,
    ) -> None:
        self.config_path = Path(config_path)
        self.overwrite = overwrite
        self._project = CopickProject(self.config_path)
        self._object_names = dict(objects or {})
        self._add_objects = add_objects
        folder = self._project.config.overlay_folder
        if folder is None:
            raise InputError(
                f"overlay_root of {config_path} is on another machine ({self._project.config.overlay_root}); "
                "give a local folder to write into"
            )
        self._overlay = folder

    def existing(self, run: str, key: ProductKey) -> list[str]:
        """Return the products of ``run`` under ``key``, as paths relative to the run's folder."""
        folder = self.run_folder(run)
        mark = f"{key.user_id}_{key.session_id}_"
        found = [
            *folder.glob(f"Picks/{mark}*.json"),
            *folder.glob(f"Segmentations/*_{mark}*.zarr"),
            *folder.glob(f"InstanceSegmentations/*_{mark}*.zarr"),
            *(path for path in folder.glob("VoxelSpacing*/*.zarr") if _maker(path) == [key.user_id, key.session_id]),
        ]
        return sorted(str(path.relative_to(folder)) for path in found if not path.name.startswith("."))

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Find out before the work whether the products can be written.

        Products already there are no error here, because an interrupted command goes on among its own products; ask
        `existing`.

        Raises
        ------
        InputError
            If a user, session, run or object has a name that copick cannot store, or the project lacks an object and
            none may be added.
        StorageError
            If the overlay cannot be written.
        """
        check_name(key.user_id, "user id")
        check_name(key.session_id, "session id")
        for name in self._object_names.values():
            check_name(name, "object name")
        for run in runs:
            check_run_name(run, str(self.config_path))
        needed = [self._object(name) for name in SEMANTIC_CLASSES[1:]]
        if not self._add_objects:
            refuse_missing(self.config_path, needed)
        elif missing_objects(self.config_path, needed):
            refuse_read_only(self.config_path.resolve().parent, _HINT)
        refuse_read_only(self._overlay, _HINT)

    def write_tomogram(self, tomogram: Tomogram, key: ProductKey) -> str:
        """Write a tomogram with what is known of its acquisition; return its path.

        Raises
        ------
        ProductExistsError
            If a tomogram of this type and voxel size is there that may not be replaced.
        StorageError
            If it cannot be written; nothing is left of it.
        """
        check_name(tomogram.tomogram_type, "tomogram type")
        run, voxel_size, name = tomogram.run, tomogram.voxel_size_angstrom, tomogram.tomogram_type
        in_the_way = self.tomogram_in_the_way(run, name, voxel_size)
        if in_the_way is not None:
            raise self._exists(f"tomogram {in_the_way}", ours=_maker(in_the_way) is not None)
        spacing = self._project.spacing_name(run, voxel_size)
        path = self.run_folder(run) / _tomogram_name(spacing, name)
        self.make_run(run, spacing)
        write_volume(
            path,
            tomogram.volume,
            voxel_size,
            TOMOGRAM_LEVELS,
            np.float32,
            {**_maker_facts(key), **_acquisition(tomogram)},
        )
        return str(path)

    def tomogram_in_the_way(self, run: str, tomogram_type: str, voxel_size_angstrom: float) -> Path | None:
        """Return the tomogram of this name that is there and may not be replaced, or None."""
        name = _tomogram_name(self._project.spacing_name(run, voxel_size_angstrom), tomogram_type)
        there = self._there(run, name)
        if there is None or (self.overwrite and there == self.run_folder(run) / name and _maker(there) is not None):
            return None
        return there

    def write_segmentation(self, tomogram: Tomogram, labels: Volume, names: dict[int, str], key: ProductKey) -> str:
        """Write the multilabel segmentation; voxels hold the labels of the project's objects. Return its path.

        Raises
        ------
        InputError
            If the project lacks an object and none may be added.
        ProductExistsError, StorageError
            As in `write_tomogram`.
        """
        wanted = {value: self._object(name) for value, name in names.items() if value != 0}
        by_name = {entry.name: entry.label for entry in self._ensure(list(wanted.values()))}
        new_labels = {value: by_name[name] for value, name in wanted.items()}
        path = self._segmentation_path("Segmentations", tomogram, f"{SEMANTIC_NAME}-multilabel", key)
        largest = max(new_labels.values(), default=0)
        facts = {**_maker_facts(key), **_origin(tomogram), "labels": {by_name[n]: n for n in wanted.values()}}
        write_volume(
            path,
            RelabelledVolume(labels, new_labels),
            tomogram.voxel_size_angstrom,
            1,
            np.min_scalar_type(largest),
            facts,
        )
        return str(path)

    def write_instances(self, tomogram: Tomogram, labels: Volume, name: str, key: ProductKey) -> str:
        """Write the instance segmentation of objects ``name``; return its path.

        Raises
        ------
        InputError, ProductExistsError
            As in `write_segmentation`.
        """
        self._ensure([self._object(name)])
        path = self._segmentation_path("InstanceSegmentations", tomogram, self._object(name), key)
        dtype = np.uint16 if largest_label(labels) <= np.iinfo(np.uint16).max else np.uint32
        facts = {**_maker_facts(key), **_origin(tomogram)}
        write_volume(path, labels, tomogram.voxel_size_angstrom, 1, dtype, facts)
        return str(path)

    def write_picks(self, tomogram: Tomogram, picks: Picks, key: ProductKey) -> list[str]:
        """Write one set per class and return their paths.

        An object that the project lacks gets the median radius of the picks of its class.

        Sets of classes that are no longer there are removed where we wrote them, so that two attempts never mix.

        Raises
        ------
        InputError, ProductExistsError
            As in `write_segmentation`.
        """
        classes = list(dict.fromkeys(picks.class_names))
        self._ensure([self._object(name) for name in classes], self._radii(picks))
        folder = self.run_folder(tomogram.run) / "Picks"
        paths = {name: folder / f"{key.user_id}_{key.session_id}_{self._object(name)}.json" for name in classes}
        for path in paths.values():
            self.refuse_existing(tomogram.run, f"Picks/{path.name}")
        self.make_run(tomogram.run)
        with storage_errors("cannot write picks"):
            folder.mkdir(exist_ok=True)
            for name, path in paths.items():
                write_picks_file(path, picks.of_class(name), self._object(name), key, tomogram)
            if self.overwrite:
                for stale in set(folder.glob(f"{key.user_id}_{key.session_id}_*.json")) - set(paths.values()):
                    if ATTRIBUTE in json.loads(stale.read_text(encoding="utf-8")):
                        stale.unlink()
        return [str(path) for path in paths.values()]

    def finish(self, key: ProductKey) -> list[str]:
        """Do nothing: every product was written with its run."""
        return []

    def lock(self, run: str) -> AbstractContextManager[None]:
        """Hold ``run`` for this process; the lock ends with the process, however it ends.

        Raises
        ------
        ProjectLockedError
            If another process holds the run; names it.
        """
        return held(self._locks / f"{run}.lock", f"run '{run}' of {self.config_path}")

    @property
    def config_lock(self) -> Path:
        """Lock file to hold while the project file is rewritten."""
        return self._locks / "project-file.lock"

    @property
    def _locks(self) -> Path:
        return self._overlay / ".cryosiam" / "locks"

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run in the overlay."""
        return self._overlay / "ExperimentRuns" / run

    def _object(self, class_name: str) -> str:
        return self._object_names.get(class_name, class_name)

    def _radii(self, picks: Picks) -> dict[str, float]:
        parts = {self._object(name): picks.of_class(name).radii_angstrom for name in set(picks.class_names)}
        return {name: round(float(np.median(radii)), 1) for name, radii in parts.items() if radii is not None}

    def _ensure(
        self, names: Sequence[str], radii_angstrom: Mapping[str, float] | None = None
    ) -> tuple[PickableObject, ...]:
        if not self._add_objects:
            refuse_missing(self.config_path, names)
        return ensure_objects(self.config_path, self.config_lock, names, radii_angstrom or {})

    def _segmentation_path(self, kind: str, tomogram: Tomogram, name: str, key: ProductKey) -> Path:
        spacing = self._project.spacing_name(tomogram.run, tomogram.voxel_size_angstrom)
        file_name = f"{kind}/{spacing}_{key.user_id}_{key.session_id}_{name}.zarr"
        self.refuse_existing(tomogram.run, file_name)
        self.make_run(tomogram.run)
        return self.run_folder(tomogram.run) / file_name

    def refuse_existing(self, run: str, name: str) -> None:
        """Refuse a product of this name in the run's folder that is there and may not be replaced.

        Raises
        ------
        ProductExistsError
            If it is there.
        """
        there = self._there(run, name)
        if there is not None and not (self.overwrite and there == self.run_folder(run) / name):
            raise self._exists(str(there), ours=there == self.run_folder(run) / name)

    def _there(self, run: str, name: str) -> Path | None:
        """Return where a product of this name is: in the overlay, else in the read-only part."""
        static = self._project.config.static_folder
        folders = [self.run_folder(run), *([static / "ExperimentRuns" / run] if static else [])]
        return next((folder / name for folder in folders if (folder / name).exists()), None)

    def _exists(self, what: str, ours: bool = True) -> ProductExistsError:
        if ours:
            return ProductExistsError(f"{what} already in {self.config_path}; give --overwrite or another --session-id")
        return ProductExistsError(f"{what} is input and is never replaced; give another --session-id or tomogram type")

    def make_run(self, run: str, spacing: str | None = None) -> None:
        """Make the folders of a run as copick does, with its ``.meta`` files."""
        folders = [self.run_folder(run)]
        if spacing is not None:
            folders.append(folders[0] / f"VoxelSpacing{spacing}")
        with storage_errors("cannot write"):
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                meta = folder / ".meta"
                if not meta.exists():
                    meta.write_text("meta", encoding="utf-8")


def _tomogram_name(spacing: str, tomogram_type: str) -> str:
    return f"VoxelSpacing{spacing}/{tomogram_type}.zarr"


def _maker_facts(key: ProductKey) -> dict[str, Any]:
    return {"user_id": key.user_id, "session_id": key.session_id}


def _maker(path: Path) -> list[str] | None:
    """Return user and session that wrote a tomogram, or None where CryoSiam did not."""
    try:
        facts = json.loads((path / ".zattrs").read_text(encoding="utf-8")).get(ATTRIBUTE)
    except (OSError, ValueError):
        return None
    return [str(facts.get("user_id")), str(facts.get("session_id"))] if isinstance(facts, dict) else None


def _origin(tomogram: Tomogram) -> dict[str, Any]:
    return {"tomogram": f"{tomogram.tomogram_type}@{tomogram.voxel_size_angstrom:g}"}


def _acquisition(tomogram: Tomogram) -> dict[str, Any]:
    """Return what is known of the acquisition, as `cryosiam.integrations.copick.ome.read_acquisition` reads it."""
    wedge = tomogram.wedge
    facts = {
        "contrast": tomogram.contrast.value,
        "hand": tomogram.hand.value if tomogram.hand else None,
        "defocus_um": tomogram.defocus_um,
        "wedge": wedge
        and {"tilt_min_deg": wedge.tilt_min_deg, "tilt_max_deg": wedge.tilt_max_deg, "tilt_axis": wedge.tilt_axis},
    }
    return {name: value for name, value in facts.items() if value is not None}
