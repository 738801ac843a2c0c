"""Run the dense network over a tomogram."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryosiam.stages.check.run import CheckedInput
from cryosiam.stages.dense.config import DenseConfig

if TYPE_CHECKING:
    from cryosiam.stages.stage import StageWork, WeightsUsed
    from cryosiam.weights import DenseWeights

NAME = "dense"


@dataclass(frozen=True)
class DenseStage:
    """The dense pass.

    Parameters
    ----------
    weights
        Weights it uses.
    load
        Loads them; called once there is work to do.
    config
        Settings.
    """

    weights: WeightsUsed
    load: Callable[[], DenseWeights]
    config: DenseConfig = field(default_factory=DenseConfig)
    name: str = NAME
    reads: tuple[str, ...] = ("checked",)
    makes: tuple[str, ...] = ("dense",)

    def prepare(self) -> None:
        """Load and check the weights."""
        self.load()

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the network's products as the maps ``dense``."""
        from cryosiam.inference.engine import run_dense
        from cryosiam.inference.memory import tile_memory_bytes

        checked = CheckedInput.load(work.scratch)
        volume, voxel_size = checked.volume(work.tomogram)
        products = run_dense(
            self.load().network,
            volume,
            checked.normalisation,
            work.scratch.maps_folder("dense"),
            memory_bytes=tile_memory_bytes(work.resources.memory_bytes),
            precision=work.resources.precision,
            device=work.resources.device,
            contrast_sign=checked.contrast_sign,
            progress=work.progress,
        )
        return {**products.record, "voxel_size_angstrom": voxel_size}
