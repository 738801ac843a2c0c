"""Annotations of a copick project by user and session: picks, segmentations, instances; and its tomograms by type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain import Picks
from cryosiam.evaluation.project import Annotator, GridVolume
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.ome import open_group, read_acquisition, read_volume
from cryosiam.integrations.copick.project import CopickProject
from cryosiam.integrations.copick.sink import SEMANTIC_NAME
from cryosiam.integrations.copick.source import pick_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INSTANCE_NAME: Final = "particle"
"""Name of the instance segmentation of all particles."""

MASS: Final = "mass_kda"
"""Key in an object's ``metadata`` that states its mass."""

_CHUNK_BYTES: Final = 64 * 2**20
"""Room for one chunk of 256³ float32 voxels: volumes are read chunk by chunk, each once."""


class CopickAnnotations:
    """What users and sessions say about the runs of a copick project.

    Parameters
    ----------
    config_path
        The project's JSON file.
    runs
        Names of the runs to use; all for None.
    semantic_name, instance_name
        Names of the multilabel and of the instance segmentation.

    Raises
    ------
    InputError
        If the project or a named run cannot be used.
    """

    def __init__(
        self,
        config_path: Path | str,
        runs: Sequence[str] | None = None,
        semantic_name: str = SEMANTIC_NAME,
        instance_name: str = INSTANCE_NAME,
    ) -> None:
        self._project = CopickProject(Path(config_path))
        self._runs = self._project.select_runs(runs)
        self._semantic_name = semantic_name
        self._instance_name = instance_name
        self.name = str(config_path)

    def runs(self) -> list[str]:
        """Return the names of the selected runs, in order."""
        return list(self._runs)

    def annotators(self) -> list[Annotator]:
        """Return everyone who annotated one of the selected runs, sorted."""
        found = {
            (str(item.user_id), str(item.session_id))
            for run in self._runs
            for item in (*self._project.pick_sets(run), *self._segmentations(run))
        }
        return [Annotator(user, session) for user, session in sorted(found)]

    def has_annotations(self, run: str, by: Annotator) -> bool:
        """Tell whether there is a set of picks or a segmentation of ``run`` by this annotator."""
        return any(_is_by(item, by) for item in (*self._project.pick_sets(run), *self._segmentations(run)))

    def picks(self, run: str, by: Annotator) -> Picks:
        """Return all picks of ``run`` by this annotator, of every class.

        Raises
        ------
        InputError
            If a file of picks is damaged.
        """
        parts = [pick_columns(item) for item in self._project.pick_sets(run) if _is_by(item, by)]
        parts = [part for part in parts if len(part["scores"])]
        if not parts:
            return Picks(run, np.zeros((0, 3)), np.zeros(0), ())
        joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        return Picks(
            run=run,
            positions_angstrom=joined["positions"],
            scores=joined["scores"],
            class_names=tuple(str(name) for name in joined["names"]),
            instance_ids=joined["instance_ids"],
        )

    def radii_angstrom(self) -> dict[str, float]:
        """Return the radius of every object that has one."""
        return {item.name: item.radius_angstrom for item in self._project.config.objects if item.radius_angstrom}

    def masses_kda(self) -> dict[str, float]:
        """Return the mass of every object whose ``metadata`` state one."""
        entries: list[dict[str, Any]] = self._project.config.content["pickable_objects"]
        stated = {entry["name"]: (entry.get("metadata") or {}).get(MASS) for entry in entries}
        return {name: float(mass) for name, mass in stated.items() if isinstance(mass, int | float) and mass > 0}

    def label_names(self) -> Mapping[int, str]:
        """Return the name of every object's label."""
        return {item.label: item.name for item in self._project.config.objects}

    def semantic(self, run: str, by: Annotator) -> list[GridVolume]:
        """Return the multilabel segmentations of ``run`` by this annotator, by voxel size."""
        return [
            _volume(item, str(item.path))
            for item in self._segmentations(run)
            if _is_by(item, by) and item.is_multilabel and item.name == self._semantic_name
        ]

    def instances(self, run: str, by: Annotator) -> list[GridVolume]:
        """Return the instance segmentations of ``run`` by this annotator, by voxel size."""
        return [
            _volume(item, str(item.path))
            for item in self._segmentations(run)
            if _is_by(item, by) and item.is_instance and item.name == self._instance_name
        ]

    def tomograms(self, run: str, tomogram_type: str) -> list[GridVolume]:
        """Return the tomograms of ``run`` of a type, by voxel size."""
        return [
            _volume(entry.handle, entry.path)
            for entry in self._project.tomograms(run)
            if entry.tomogram_type == tomogram_type
        ]

    def tomogram_types(self) -> list[str]:
        """Return the types of tomogram that every selected run has, sorted."""
        kinds = [{entry.tomogram_type for entry in self._project.tomograms(run)} for run in self._runs]
        return sorted(set.intersection(*kinds)) if kinds else []

    def _segmentations(self, run: str) -> list[Any]:
        with logging_kept():
            found = list(self._project.root.get_run(run).segmentations)
        return sorted(found, key=lambda item: float(item.voxel_size))


def _is_by(item: Any, by: Annotator) -> bool:
    return (str(item.user_id), str(item.session_id)) == (by.user_id, by.session_id)


def _volume(handle: Any, where: str) -> GridVolume:
    """Open a segmentation or tomogram of copick; its voxels are read chunk by chunk."""
    with logging_kept():
        group = open_group(handle.zarr(), where)
        volume, voxel_size = read_volume(group, where, _CHUNK_BYTES)
        facts = read_acquisition(group, where)
    return GridVolume(volume, voxel_size, where, facts.contrast)
