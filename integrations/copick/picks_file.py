"""Write a copick picks file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.integrations.copick.ome import ATTRIBUTE
from cryosiam.pipeline.storage import write_text_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.ports import ProductKey

_ROW: Final = "[%r, %r, %r, %r]"
_POINT: Final = (
    '{"location": {"x": %r, "y": %r, "z": %r}, "transformation_": '
    f"[{_ROW}, {_ROW}, {_ROW}, {_ROW}], "
    '"instance_id": %r, "score": %r}'
)


def write_picks_file(path: Path, picks: Picks, object_name: str, key: ProductKey, tomogram: Tomogram) -> None:
    """Write one set of picks atomically, in copick's format.

    Besides copick's keys the file has one of ours, which marks it as a product and names the tomogram; copick ignores
    it.
    """
    ours = {ATTRIBUTE: {"tomogram": f"{tomogram.tomogram_type}@{tomogram.voxel_size_angstrom:g}"}}
    write_text_whole(path, picks_text(picks, object_name, key, tomogram.voxel_size_angstrom, ours))


def picks_text(
    picks: Picks,
    object_name: str,
    key: ProductKey,
    voxel_size_angstrom: float | None,
    ours: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return one set of picks as JSON, as copick reads it.

    Where rotations are unknown the matrices are the identity and ``trust_orientation`` is false. The points are written
    by a pattern: JSON's own encoder takes twice as long and three times the memory.

    Parameters
    ----------
    picks
        The picks.
    object_name
        Name of the pickable object.
    key
        User and session.
    voxel_size_angstrom
        Voxel size of the tomogram they were made on, where it is known.
    ours
        Further keys of the file, which copick ignores.
    """
    matrices = np.tile(np.eye(4), (len(picks), 1, 1))
    if picks.rotations is not None:
        matrices[:, :3, :3] = picks.rotations
    numbers = np.concatenate([picks.positions_angstrom, matrices.reshape(-1, 16)], axis=1).tolist()
    columns = zip(numbers, picks.instance_ids.tolist(), picks.scores.tolist(), strict=True)
    points = ", ".join([_POINT % (*row, instance_id, score) for row, instance_id, score in columns])
    head: dict[str, Any] = {
        "pickable_object_name": object_name,
        "user_id": key.user_id,
        "session_id": key.session_id,
        "run_name": picks.run,
        "voxel_spacing": voxel_size_angstrom,
        "unit": "angstrom",
        "trust_orientation": picks.rotations is not None,
        **ours,
    }
    return f'{json.dumps(head)[:-1]}, "points": [{points}]}}'
