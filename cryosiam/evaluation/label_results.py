"""Dice and instance average precision over the runs of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError
from cryosiam.evaluation.blocks import boxes
from cryosiam.evaluation.project import AnnotatedProject, GridVolume, Request, pairs_of_runs
from cryosiam.evaluation.results import DiceResult, InstanceClassResult, InstanceResult, spread
from cryosiam.evaluation.sizes import InstanceScore, instance_scores
from cryosiam.evaluation.volumes import IOU_THRESHOLDS, confusion_table, dice_of, instance_overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box

BACKGROUND = "background"
SEMANTIC = "semantic segmentation"
INSTANCES = "instance segmentation"


class _CompactLabels:
    """A view of a label volume with its labels numbered from 0 in the order of their names.

    Parameters
    ----------
    source
        The volume.
    labels
        The labels, in order; any other is refused.
    """

    def __init__(self, source: GridVolume, labels: NDArray[np.int64]) -> None:
        self._source = source
        self._table = np.full(int(labels.max()) + 2, -1, np.int64)
        self._table[labels] = np.arange(len(labels))
        self.shape = source.volume.shape

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the new labels of ``box``."""
        old = self._source.volume.read(box).astype(np.int64)
        new = self._table[np.clip(old, -1, len(self._table) - 1)]
        if (new < 0).any():
            raise InputError(
                f"{self._source.where} holds the label {int(old[new < 0][0])}, which is no object of the project; "
                "add the object to the project file"
            )
        return new.astype(np.float32)


def dice_result(project: AnnotatedProject, request: Request, note: Callable[[str], None]) -> DiceResult:
    """Compare the semantic segmentations of all runs.

    Raises
    ------
    LeftOutError
        If truth or prediction has none.
    InputError
        If some runs lack one, grids differ, or a label is no object of the project.
    """
    runs = project.runs()
    pairs = pairs_of_runs(
        {run: project.semantic(run, request.predicted) for run in runs},
        {run: project.semantic(run, request.truth) for run in runs},
        f"{SEMANTIC} by {request.predicted}",
        f"{SEMANTIC} by {request.truth}",
    )
    names = {0: BACKGROUND, **project.label_names()}
    labels = np.array(sorted(names), np.int64)
    tables = {}
    for run, (mine, real) in pairs.items():
        note(f"{run}: {SEMANTIC}")
        tables[run] = confusion_table(_CompactLabels(mine, labels), _CompactLabels(real, labels), len(labels))
    return _dice_of_tables(tables, [names[int(label)] for label in labels])


def _dice_of_tables(tables: Mapping[str, NDArray[np.int64]], names: list[str]) -> DiceResult:
    dice = {run: np.where(table.sum(axis=0) > 0, dice_of(table), np.nan) for run, table in tables.items()}
    pooled = dice_of(np.sum(list(tables.values()), axis=0))
    present = [i for i in range(len(names)) if not np.isnan(pooled[i])]
    return DiceResult(
        classes={names[i]: spread({run: float(values[i]) for run, values in dice.items()}) for i in present},
        pooled={names[i]: float(pooled[i]) for i in present},
        all_classes=spread({run: _mean(values) for run, values in dice.items()}),
        foreground=spread({run: _mean(values[1:]) for run, values in dice.items()}),
    )


def _mean(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def instance_result(project: AnnotatedProject, request: Request, note: Callable[[str], None]) -> InstanceResult:
    """Compare the instances of all runs. Errors as `dice_result`."""
    runs = project.runs()
    pairs = pairs_of_runs(
        {run: project.instances(run, request.predicted) for run in runs},
        {run: project.instances(run, request.truth) for run in runs},
        f"{INSTANCES} by {request.predicted}",
        f"{INSTANCES} by {request.truth}",
    )
    scores: dict[str, dict[str, InstanceScore]] = {}
    for run, (mine, real) in pairs.items():
        note(f"{run}: {INSTANCES}")
        scores[run] = instance_scores(instance_overlap(mine.volume, real.volume), real.voxel_size_angstrom)
    sizes = next(iter(scores.values()))
    return InstanceResult(
        thresholds=list(IOU_THRESHOLDS),
        sizes={size: _size_result({run: by_size[size] for run, by_size in scores.items()}) for size in sizes},
    )


def _size_result(scores: Mapping[str, InstanceScore]) -> InstanceClassResult:
    first, *others = scores.values()
    pooled = sum(others, first)
    keys = [f"AP-{100 * threshold:.0f}" for threshold in pooled.thresholds]
    return InstanceClassResult(
        truth=pooled.truth,
        average_precision=spread({run: score.average_precision for run, score in scores.items()}),
        at={
            key: spread({run: float(score.precision[i]) for run, score in scores.items()}) for i, key in enumerate(keys)
        },
        pooled_at={key: float(pooled.precision[i]) for i, key in enumerate(keys)},
    )


def instance_volumes_angstrom3(source: GridVolume) -> dict[int, float]:
    """Return the volume of every instance in Å³."""
    sizes = np.zeros(1, np.int64)
    for box in boxes(source.volume.shape):
        counts = np.bincount(source.volume.read(box).astype(np.int64).ravel())
        longer = max(len(sizes), len(counts))
        sizes = np.pad(sizes, (0, longer - len(sizes))) + np.pad(counts, (0, longer - len(counts)))
    voxel = source.voxel_size_angstrom**3
    return {label: float(sizes[label] * voxel) for label in np.flatnonzero(sizes).tolist() if label}
