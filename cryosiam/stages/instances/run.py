"""Separate particle instances."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cryosiam.segmentation import (
    InstanceMaps,
    InstanceTable,
    SampleMask,
    ScoreCalibration,
    find_sample,
    separate_instances,
)
from cryosiam.stages.dense.products import dense_products, grid_voxel_size
from cryosiam.stages.instances.config import InstancesConfig
from cryosiam.stages.scratch import MapArray, Scratch

if TYPE_CHECKING:
    from cryosiam.stages.stage import StageWork, WeightsUsed

NAME = "instances"

_VOXEL_SIZE, _THRESHOLD = "voxel_size_angstrom", "foreground_threshold"


@dataclass(frozen=True)
class InstancesStage:
    """The instance separation.

    Parameters
    ----------
    config
        Settings.
    """

    config: InstancesConfig = field(default_factory=InstancesConfig)
    weights: WeightsUsed | None = None
    name: str = NAME
    reads: tuple[str, ...] = ("dense",)
    makes: tuple[str, ...] = ("instances", "particles")

    def prepare(self) -> None:
        """Nothing is needed."""

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the map ``instances`` and the table ``particles``."""
        maps, facts = self._maps(work)
        labels = work.scratch.create_map("instances", maps.shape, np.int32)
        table = separate_instances(
            maps,
            cast("Any", labels),
            self.config.separation,
            ScoreCalibration.from_json(self.config.calibration) if self.config.calibration else None,
            workers=work.resources.workers,
            progress=work.progress,
        )
        save_particles(work.scratch, table, grid_voxel_size(work.scratch), self.config.separation.foreground_threshold)
        return {"particles": len(table), **facts}

    def _maps(self, work: StageWork) -> tuple[InstanceMaps, dict[str, Any]]:
        """Return what the separation reads, and what is known of the sample."""
        products = dense_products(work.scratch)
        sample: SampleMask | None = None
        facts: dict[str, Any] = {}
        if self.config.sample and "sample" in products.names:
            found = find_sample(products.array("sample"), products.shape, grid_voxel_size(work.scratch))
            if not found.found:
                work.warn(
                    "no sample was found, so the whole volume is searched; where noise hides everything, "
                    "--low-pass 30 lets the network see more, and err more"
                )
            facts = {"sample_fraction": round(found.fraction, 4), "thickness_angstrom": found.thickness_angstrom}
            sample = found
        names = [name for name in ("foreground", "boundary", "distance", "semantic") if name in products.names]
        arrays: dict[str, Any] = {name: MapArray.open(products.folder / f"{name}.npy") for name in names}
        maps = InstanceMaps(**arrays, sample=sample)
        return maps, facts


def save_particles(
    scratch: Scratch, table: InstanceTable, voxel_size_angstrom: float, foreground_threshold: float
) -> None:
    """Keep, as table ``particles``, the instances, the voxel size of their grid and what they were cut at."""
    columns = {field.name: getattr(table, field.name) for field in fields(table)}
    facts = {_VOXEL_SIZE: np.array(voxel_size_angstrom), _THRESHOLD: np.array(foreground_threshold)}
    scratch.save_table("particles", {**columns, **facts})


def load_particles(scratch: Scratch) -> tuple[InstanceTable, float]:
    """Return the instance table and the voxel size of its grid in Å."""
    columns: dict[str, Any] = scratch.table("particles")
    columns.pop(_THRESHOLD, None)
    voxel_size = float(columns.pop(_VOXEL_SIZE))
    return InstanceTable(**columns), voxel_size


def foreground_threshold(scratch: Scratch) -> float:
    """Return the foreground probability that the instances were cut at."""
    return float(scratch.table("particles")[_THRESHOLD])
