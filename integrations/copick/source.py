"""copick projects as source of tomograms and annotations."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain import Picks, Tomogram
from cryosiam.errors import InputError
from cryosiam.integrations.copick.config import PickableObject
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.ome import ATTRIBUTE, COMPANION, open_group, read_acquisition, read_volume
from cryosiam.integrations.copick.project import SPACING_TOLERANCE, CopickProject, TomogramEntry, choose_tomogram, fits
from cryosiam.ports import Capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

PRODUCT: Final = "denoised"
"""Part of the type name by which a tomogram that CryoSiam made is known as product, not input."""


class CopickSource:
    """Tomograms and annotations of a copick project of type ``filesystem``, with or without overlay.

    Parameters
    ----------
    config_path
        The project's JSON file.
    tomogram
        Tomogram to use, in copick's manner: ``wbp@10.0``; either part may be missing or a shell pattern.
    runs
        Names of the runs to use; all for None.
    own_user_id
        User whose picks are ours and therefore no reference.

    Raises
    ------
    InputError
        If the project or a named run cannot be used.
    """

    capabilities = Capabilities(
        name="copick",
        summary="copick projects (filesystem configuration, with or without overlay)",
        provides=frozenset({"tomograms", "annotations"}),
    )

    def __init__(
        self,
        config_path: Path | str,
        tomogram: str | None = None,
        runs: Sequence[str] | None = None,
        own_user_id: str = "cryosiam",
    ) -> None:
        self.project = CopickProject(Path(config_path))
        self._wanted = tomogram
        self._runs = self.project.select_runs(runs)
        self._own_user_id = own_user_id

    def particle_names(self) -> tuple[str, ...]:
        """Return the project's particles, without those that a sink of ours added.

        Otherwise the classes of a second call would be those that the first one happened to find.
        """
        return tuple(item.name for item in self.objects if item.is_particle and not item.added_by_us)

    @property
    def objects(self) -> tuple[PickableObject, ...]:
        """The project's pickable objects."""
        return self.project.config.objects

    def runs(self) -> list[str]:
        """Return the names of the selected runs, in order."""
        return list(self._runs)

    def choices(self, run: str) -> list[str]:
        """Return the names of all tomograms of ``run`` in copick's manner, such as ``wbp@10.0``."""
        return [entry.uri for entry in self.project.tomograms(run)]

    def tomogram(self, run: str) -> Tomogram:
        """Return the tomogram of ``run``; its voxels stay on disk until they are read.

        Raises
        ------
        InputError
            If none or more than one fits, it was written by the newer copick format, or its voxel size is absent, not
            positive, not isotropic or another than its folder's.
        """
        entry = self._entry(run)
        where = entry.path
        with logging_kept():
            group = open_group(entry.handle.zarr(), where)
            volume, voxel_size = read_volume(group, where)
            facts = read_acquisition(group, where)
        if abs(voxel_size - entry.spacing_angstrom) > SPACING_TOLERANCE * entry.spacing_angstrom:
            raise InputError(
                f"{where} states a voxel size of {voxel_size:g} Å but lies in a folder of "
                f"{entry.spacing_angstrom:g} Å; correct the one that is wrong"
            )
        if volume.missing_chunks:
            _log.warning(
                "%d chunk(s) of %s are not there and read as 0; if a copy was interrupted, copy it again",
                volume.missing_chunks,
                where,
            )
        return Tomogram(
            run=run,
            volume=volume,
            voxel_size_angstrom=voxel_size,
            tomogram_type=entry.tomogram_type,
            source=where,
            contrast=facts.contrast,
            wedge=facts.wedge,
            defocus_um=facts.defocus_um,
            hand=facts.hand,
        )

    def signature(self, run: str) -> str:
        """Return a short text that changes when a file of the run's tomogram changes size or time."""
        content = json.dumps(self._entry(run).sizes_and_times())
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def reference_picks(self, run: str) -> Picks | None:
        """Return all picks of ``run`` by other users, or None where there are none.

        Rotations are given only where every set says that its orientations can be trusted.

        Raises
        ------
        InputError
            If a file of picks is damaged.
        """
        sets = [picks for picks in self.project.pick_sets(run) if picks.user_id != self._own_user_id]
        parts = [pick_columns(picks) for picks in sets]
        parts = [part for part in parts if len(part["scores"])]
        if not parts:
            return None
        joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        trusted = all(picks.trust_orientation for picks in sets)
        return Picks(
            run=run,
            positions_angstrom=joined["positions"],
            scores=joined["scores"],
            class_names=tuple(str(name) for name in joined["names"]),
            instance_ids=joined["instance_ids"],
            rotations=joined["rotations"] if trusted else None,
        )

    def _entry(self, run: str) -> TomogramEntry:
        where = str(self.project.config.path)
        entries = self.project.tomograms(run)
        if len(entries) > 1 and not self._names_one_type():
            inputs = [entry for entry in entries if not _is_made_from_another(entry)]
            if any(fits(entry, self._wanted) for entry in inputs):
                entries = inputs
        return choose_tomogram(entries, self._wanted, run, where)

    def _names_one_type(self) -> bool:
        name = (self._wanted or "").partition("@")[0]
        return bool(name) and not any(character in name for character in "*?[")


def _is_made_from_another(entry: TomogramEntry) -> bool:
    """Tell whether CryoSiam made this tomogram out of another one, or as companion of another one."""
    with logging_kept():
        facts = json.loads(entry.handle.zarr().get(".zattrs", b"{}")).get(ATTRIBUTE)
    return facts is not None and (PRODUCT in entry.tomogram_type or COMPANION in facts)


def pick_columns(picks: Any) -> dict[str, Any]:
    """Return the columns of one pick set, shifts folded into the positions."""
    try:
        with logging_kept():
            positions, transforms = picks.numpy()
            shifts = transforms[:, :3, 3] if len(positions) else np.zeros((0, 3))
            return {
                "positions": np.asarray(positions, np.float64).reshape(-1, 3) + shifts,
                "rotations": np.asarray(transforms, np.float64).reshape(-1, 4, 4)[:, :3, :3],
                "scores": np.asarray(picks.scores(), np.float64),
                "instance_ids": np.asarray(picks.instance_ids(), np.int64),
                "names": np.full(len(positions), picks.pickable_object_name),
            }
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"picks {picks.path} cannot be read ({error}); correct or remove the file") from error
