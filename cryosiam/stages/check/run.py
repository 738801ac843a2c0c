"""Check a tomogram before the networks see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.domain import Contrast, Tomogram, Volume
from cryosiam.inference.contrast import contrast_vote, guess_contrast
from cryosiam.inference.normalisation import Normalisation, measure_normalisation
from cryosiam.inference.resampling import on_grid
from cryosiam.stages.check.config import CheckConfig
from cryosiam.stages.check.digest import sha256_of_volume

if TYPE_CHECKING:
    from cryosiam.stages.scratch import Scratch
    from cryosiam.stages.stage import StageWork, WeightsUsed
    from cryosiam.weights import DenseWeights

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
    low_pass_angstrom
        Finest detail the network is shown, in Å; 0 for all.
    """

    normalisation: Normalisation
    contrast_sign: int
    grid_voxel_size_angstrom: float
    low_pass_angstrom: float = 0.0

    def volume(self, tomogram: Tomogram) -> tuple[Volume, float]:
        """Return the tomogram as the network reads it, and its voxel size in Å."""
        return on_grid(
            tomogram.volume,
            tomogram.voxel_size_angstrom,
            self.grid_voxel_size_angstrom,
            self.low_pass_angstrom or None,
        )

    def save(self, scratch: Scratch) -> None:
        """Keep it as table ``checked``."""
        scratch.save_table(
            "checked",
            {
                **{name: np.array(value) for name, value in asdict(self.normalisation).items()},
                "contrast_sign": np.array(self.contrast_sign),
                "grid_voxel_size_angstrom": np.array(self.grid_voxel_size_angstrom),
                "low_pass_angstrom": np.array(self.low_pass_angstrom),
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
            float(table["low_pass_angstrom"]),
        )


@dataclass(frozen=True)
class CheckStage:
    """The input check.

    Parameters
    ----------
    weights
        Weights of the dense network, which votes on the contrast where the voxels alone do not tell.
    load
        Loads them.
    voxel_size_angstrom
        Voxel size the weights learnt at.
    config
        Settings.
    """

    weights: WeightsUsed
    load: Callable[[], DenseWeights]
    voxel_size_angstrom: float
    config: CheckConfig = field(default_factory=CheckConfig)
    name: str = NAME
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ("checked",)

    def prepare(self) -> None:
        """Load and check the weights."""
        self.load()

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the table ``checked``."""
        tomogram = work.tomogram
        low_pass = self.config.low_pass_angstrom
        volume, grid = on_grid(tomogram.volume, tomogram.voxel_size_angstrom, self.voxel_size_angstrom, low_pass)
        normalisation = measure_normalisation(volume, run=tomogram.run, source=tomogram.source)
        contrast, found = self._contrast(work, volume, grid, normalisation)
        sign = 1 if contrast == self.config.wanted_contrast else -1
        if self.config.unit_range:
            normalisation = normalisation.to_unit_range(sign)
        CheckedInput(normalisation, sign, grid, low_pass or 0.0).save(work.scratch)
        if contrast != self.config.wanted_contrast:
            tell = work.warn if self.config.contrast == "auto" else work.note
            tell(f"protein is {contrast} here ({found}); grey values are inverted for the network, results keep theirs")
        if grid != tomogram.voxel_size_angstrom:
            work.note(f"voxels of {tomogram.voxel_size_angstrom:g} Å are resampled to {grid:g} Å for the network")
        return {
            "sha256": sha256_of_volume(tomogram.volume),
            "contrast": contrast,
            "contrast_found": found,
            "grid_voxel_size_angstrom": grid,
            "low_pass_angstrom": low_pass,
            "normalisation": asdict(normalisation),
        }

    def _contrast(
        self, work: StageWork, volume: Volume, voxel_size_angstrom: float, normalisation: Normalisation
    ) -> tuple[str, str]:
        """Return the contrast and how it became known."""
        if self.config.contrast != "auto":
            return self.config.contrast, "given by --contrast"
        if work.tomogram.contrast is not Contrast.UNKNOWN:
            return work.tomogram.contrast.value, "stated by the tomogram"
        guess = guess_contrast(volume, voxel_size_angstrom)
        if guess.contrast is not Contrast.UNKNOWN:
            return guess.contrast.value, f"found from the voxels, confidence {guess.confidence:.2f}"
        network = self.load().network
        vote = (
            contrast_vote(network, volume, normalisation, device=work.resources.device)
            if "foreground" in network.heads and not self.config.unit_range
            else None
        )
        if vote is not None and vote.contrast is not Contrast.UNKNOWN:
            # The network says which sign suits it, and that is the contrast it learnt with.
            same = vote.contrast is Contrast.DARK
            wanted = self.config.wanted_contrast
            other = "bright" if wanted == "dark" else "dark"
            return wanted if same else other, f"found by the network, confidence {vote.confidence:.2f}"
        work.note(f"contrast cannot be told from the voxels; protein is taken to be {self.config.wanted_contrast}")
        return self.config.wanted_contrast, "assumed"
