"""Check a tomogram before the networks see it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.domain import Contrast
from cryosiam.inference.normalisation import Normalisation, measure_normalisation
from cryosiam.inference.resampling import on_grid
from cryosiam.stages.check.config import CheckConfig
from cryosiam.stages.check.digest import sha256_of_volume

if TYPE_CHECKING:
    from cryosiam.stages.scratch import Scratch
    from cryosiam.stages.stage import StageWork, WeightsUsed

NAME = "check"


@dataclass(frozen=True)
class CheckedInput:
    """What the check found out, for the stages after it.

    Parameters
    ----------
    normalisation
        How grey values are scaled.
    contrast_sign
        -1 where grey values must be inverted for the network, else 1.
    grid_voxel_size_angstrom
        Voxel size of the grid that the network works on.
    """

    normalisation: Normalisation
    contrast_sign: int
    grid_voxel_size_angstrom: float

    def save(self, scratch: Scratch) -> None:
        """Keep it as table ``checked``."""
        scratch.save_table(
            "checked",
            {
                **{name: np.array(value) for name, value in asdict(self.normalisation).items()},
                "contrast_sign": np.array(self.contrast_sign),
                "grid_voxel_size_angstrom": np.array(self.grid_voxel_size_angstrom),
            },
        )

    @classmethod
    def load(cls, scratch: Scratch) -> CheckedInput:
        """Read what `save` kept."""
        table = scratch.table("checked")
        return cls(
            Normalisation(**{field.name: float(table[field.name]) for field in fields(Normalisation)}),
            int(table["contrast_sign"]),
            float(table["grid_voxel_size_angstrom"]),
        )


@dataclass(frozen=True)
class CheckStage:
    """The input check.

    Parameters
    ----------
    voxel_size_angstrom
        Voxel size the weights learnt at.
    config
        Settings.
    """

    voxel_size_angstrom: float
    config: CheckConfig = field(default_factory=CheckConfig)
    weights: WeightsUsed | None = None
    name: str = NAME
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ("checked",)

    def prepare(self) -> None:
        """Nothing is needed."""

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the table ``checked``."""
        tomogram = work.tomogram
        volume, grid = on_grid(tomogram.volume, tomogram.voxel_size_angstrom, self.voxel_size_angstrom)
        normalisation = measure_normalisation(volume, run=tomogram.run, source=tomogram.source)
        contrast, found = self._contrast(work)
        CheckedInput(normalisation, 1 if contrast == self.config.wanted_contrast else -1, grid).save(work.scratch)
        if contrast != self.config.wanted_contrast:
            work.note(f"protein is {contrast} here ({found}); the network sees it inverted, results keep it")
        if grid != tomogram.voxel_size_angstrom:
            work.note(f"voxels of {tomogram.voxel_size_angstrom:g} Å are resampled to {grid:g} Å for the network")
        return {
            "sha256": sha256_of_volume(tomogram.volume),
            "contrast": contrast,
            "contrast_found": found,
            "grid_voxel_size_angstrom": grid,
            "normalisation": asdict(normalisation),
        }

    def _contrast(self, work: StageWork) -> tuple[str, str]:
        """Return the contrast and how it became known."""
        if self.config.contrast != "auto":
            return self.config.contrast, "given by --contrast"
        if work.tomogram.contrast is not Contrast.UNKNOWN:
            return work.tomogram.contrast.value, "stated by the tomogram"
        return self.config.wanted_contrast, "assumed"
