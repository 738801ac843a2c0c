"""Write a copick picks file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.integrations.copick.ome import ATTRIBUTE
from cryosiam.pipeline.storage import write_text_whole

if TYPE_CHECKING:
    from pathlib import Path

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.ports import ProductKey


def write_picks_file(path: Path, picks: Picks, object_name: str, key: ProductKey, tomogram: Tomogram) -> None:
    """Write one set of picks atomically, in copick's format.

    Where rotations are unknown the matrices are the identity and ``trust_orientation`` is false. Besides copick's keys
    the file has one of ours, which marks it as a product and names the tomogram; copick ignores it.
    """
    matrices = np.tile(np.eye(4), (len(picks), 1, 1))
    if picks.rotations is not None:
        matrices[:, :3, :3] = picks.rotations
    points = [
        {
            "location": {"x": x, "y": y, "z": z},
            "transformation_": matrix,
            "instance_id": instance_id,
            "score": score,
        }
        for (x, y, z), matrix, instance_id, score in zip(
            picks.positions_angstrom.tolist(),
            matrices.tolist(),
            picks.instance_ids.tolist(),
            picks.scores.tolist(),
            strict=True,
        )
    ]
    content: dict[str, Any] = {
        "pickable_object_name": object_name,
        "user_id": key.user_id,
        "session_id": key.session_id,
        "run_name": picks.run,
        "voxel_spacing": tomogram.voxel_size_angstrom,
        "unit": "angstrom",
        "points": points,
        "trust_orientation": picks.rotations is not None,
        ATTRIBUTE: {"tomogram": f"{tomogram.tomogram_type}@{tomogram.voxel_size_angstrom:g}"},
    }
    write_text_whole(path, json.dumps(content))
