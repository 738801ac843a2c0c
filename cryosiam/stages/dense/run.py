"""Run the dense network, or several of them, over a tomogram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosiam.inference.normalisation import Normalisation, whole_range
from cryosiam.networks.config import DENSE_HEADS
from cryosiam.stages.check.run import CheckedInput
from cryosiam.stages.dense.config import DenseConfig

if TYPE_CHECKING:
    from cryosiam.domain import Volume
    from cryosiam.inference.outputs import DenseProducts
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
        Loads them, one network or several; called once there is work to do.
    config
        Settings.
    """

    weights: WeightsUsed
    load: Callable[[], tuple[DenseWeights, ...]]
    config: DenseConfig = field(default_factory=DenseConfig)
    name: str = NAME
    reads: tuple[str, ...] = ("checked",)
    makes: tuple[str, ...] = ("dense",)

    def prepare(self) -> None:
        """Load and check the weights."""
        self.load()

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the networks' products as the maps ``dense``."""
        from cryosiam.inference.outputs import join_products

        checked = CheckedInput.load(work.scratch)
        volume, voxel_size = checked.volume(work.tomogram)
        target = work.scratch.maps_folder("dense")
        first, after = in_order(self.load())
        if first[0].card.input == "denoised":
            work.note("the weights read denoised tomograms; this one is taken to be denoised")
        if len(first) + len(after) == 1:
            products = self._infer(work, first[0], volume, checked.normalisation, target)
            return {**products.record, "voxel_size_angstrom": voxel_size}
        parts = [self._infer(work, part, volume, checked.normalisation, _own(target, part)) for part in first]
        if after:
            denoised = next(part for part in parts if "denoised" in part.names).volume("denoised")
            scale = whole_range(denoised).to_unit_range(checked.contrast_sign)
            parts += [self._infer(work, part, denoised, scale, _own(target, part)) for part in after]
        return {**join_products(target, parts).record, "voxel_size_angstrom": voxel_size}

    def _infer(
        self, work: StageWork, weights: DenseWeights, volume: Volume, scale: Normalisation, folder: Path
    ) -> DenseProducts:
        from cryosiam.inference.engine import run_dense
        from cryosiam.inference.memory import tile_memory_bytes

        return run_dense(
            weights.network,
            volume,
            scale,
            folder,
            heads=[head for head in weights.network.heads if head in DENSE_HEADS],
            memory_bytes=tile_memory_bytes(work.resources.memory_bytes),
            precision=work.resources.precision,
            device=work.resources.device,
            contrast_sign=CheckedInput.load(work.scratch).contrast_sign,
            progress=work.progress,
        )


def in_order(parts: Sequence[DenseWeights]) -> tuple[list[DenseWeights], list[DenseWeights]]:
    """Return the networks that read the tomogram, and those that read what the first ones make of it.

    Where no network denoises, those that want a denoised tomogram get the one there is.
    """
    if not any("denoise" in part.card.heads for part in parts if part.card.input == "tomogram"):
        return list(parts), []
    first = [part for part in parts if part.card.input == "tomogram"]
    return first, [part for part in parts if part.card.input == "denoised"]


def _own(folder: Path, part: DenseWeights) -> Path:
    return folder.with_name(f"{folder.name}-of-{part.card.stem}")
