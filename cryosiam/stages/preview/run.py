"""Keep the central slices of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.geometry import volume_centre_index
from cryosiam.stages.check.run import CheckedInput
from cryosiam.stages.dense.products import dense_products
from cryosiam.stages.preview.config import PreviewConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain import Volume
    from cryosiam.domain.tomogram import Box
    from cryosiam.stages.scratch import Scratch
    from cryosiam.stages.stage import StageWork, WeightsUsed

NAME = "preview"
AXES = ("z", "y", "x")


@dataclass(frozen=True)
class CentralSlices:
    """Central slices across z, y and x, on the network's grid.

    Parameters
    ----------
    source, denoised, semantic
        Three images each: ``(y, x)``, ``(z, x)`` and ``(z, y)``; the source's normalised, the denoised in the
        source's contrast, the semantic labels.
    shape
        Size of the volume (z, y, x).
    voxel_size_angstrom
        Edge of the voxel in Å.
    """

    source: tuple[NDArray[np.float32], ...]
    denoised: tuple[NDArray[np.float32], ...]
    semantic: tuple[NDArray[np.float32], ...]
    shape: tuple[int, int, int]
    voxel_size_angstrom: float


@dataclass(frozen=True)
class PreviewStage:
    """Central slices, kept because the maps they come from are removed."""

    config: PreviewConfig = field(default_factory=PreviewConfig)
    weights: WeightsUsed | None = None
    name: str = NAME
    reads: tuple[str, ...] = ("checked", "dense")
    makes: tuple[str, ...] = ("slices",)

    def prepare(self) -> None:
        """Nothing is needed."""

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the table ``slices``."""
        checked = CheckedInput.load(work.scratch)
        volume, grid = checked.volume(work.tomogram)
        products = dense_products(work.scratch)
        columns: dict[str, NDArray[np.generic]] = {"shape": np.array(volume.shape), "voxel_size": np.array(grid)}
        for axis, name in enumerate(AXES):
            columns[f"source_{name}"] = checked.normalisation.apply(_slice(volume, axis)).astype(np.float16)
            columns[f"denoised_{name}"] = _slice(products.volume("denoised"), axis).astype(np.float16)
            columns[f"semantic_{name}"] = _slice(products.volume("semantic"), axis).astype(np.uint8)
        work.scratch.save_table("slices", columns)
        return {}


def _slice(volume: Volume, axis: int) -> NDArray[np.float32]:
    """Return the slice through the volume's centre across ``axis``."""
    box = [slice(0, size) for size in volume.shape]
    centre = volume_centre_index(volume.shape[axis])
    box[axis] = slice(centre, centre + 1)
    region: Box = (box[0], box[1], box[2])
    return volume.read(region).squeeze(axis)


def load_slices(scratch: Scratch) -> CentralSlices:
    """Return the central slices of a run."""
    table: dict[str, Any] = scratch.table("slices")
    z, y, x = (int(size) for size in table["shape"])
    images = {
        kind: tuple(table[f"{kind}_{name}"].astype(np.float32) for name in AXES)
        for kind in ("source", "denoised", "semantic")
    }
    return CentralSlices(**images, shape=(z, y, x), voxel_size_angstrom=float(table["voxel_size"]))
