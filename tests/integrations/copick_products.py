"""Products to write into a copick project, and what unmodified copick then finds in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosiam.domain import (
    SEMANTIC_CLASSES,
    Picks,
    Tomogram,
)
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.ports import ProductKey

KEY = ProductKey("cryosiam", "7")


NAMES = dict(enumerate(SEMANTIC_CLASSES))


def opened(project: Any) -> tuple[Tomogram, CopickSink]:
    return CopickSource(project.config_path).tomogram("TS_01"), CopickSink(project.config_path)


def label_volume(shape: tuple[int, int, int], largest: int) -> NDArray[np.int64]:
    labels = np.random.default_rng(1).integers(0, largest + 1, shape)
    labels.flat[0] = largest
    return labels


def some_picks(rotations: bool = False) -> Picks:
    rng = np.random.default_rng(2)
    matrices = np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]] * 3, dtype=float)
    return Picks(
        run="TS_01",
        positions_angstrom=rng.uniform(0, 200, (3, 3)),
        scores=np.array([0.9, 0.1, 0.5]),
        class_names=("class-1", "class-2", "class-1"),
        instance_ids=np.array([4, 5, 6]),
        rotations=matrices if rotations else None,
    )


def read_back(project: Any) -> Any:
    return project.open().get_run("TS_01")


def leftovers(project: Any) -> list[Path]:
    return [path for path in project.overlay.rglob("*") if ".part" in path.name or ".old" in path.name]
