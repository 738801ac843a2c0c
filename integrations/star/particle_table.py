"""Collect the picks of several runs and give their common columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosiam.geometry import relion_euler_deg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.domain import Picks
    from cryosiam.integrations.star.star_writer import Value

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def class_numbers(sets: Sequence[Picks]) -> dict[str, int]:
    """Return a number from 1 for every class name, in alphabetical order."""
    names = sorted({name for picks in sets for name in picks.class_names})
    return {name: number for number, name in enumerate(names, start=1)}


def common_columns(sets: Sequence[Picks]) -> dict[str, list[Value]]:
    """Return score, class, instance and, where every run has orientations, the Euler angles.

    Where orientations are unknown there is no column of angles: zeros would read as measured.

    Parameters
    ----------
    sets
        Picks of each run, in the order of the rows.
    """
    numbers = class_numbers(sets)
    columns: dict[str, list[Value]] = {
        "rlnClassNumber": [numbers[name] for picks in sets for name in picks.class_names],
        "rlnAutopickFigureOfMerit": [score for picks in sets for score in picks.scores.tolist()],
        "cryosiamClassName": [name for picks in sets for name in picks.class_names],
        "cryosiamInstanceId": [number for picks in sets for number in picks.instance_ids.tolist()],
    }
    rotations = [picks.rotations for picks in sets if picks.rotations is not None and len(picks)]
    if rotations and len(rotations) == sum(len(picks) > 0 for picks in sets):
        angles = relion_euler_deg(np.concatenate(rotations))
        columns.update(zip(ANGLES, angles.T.tolist(), strict=True))
    return columns
