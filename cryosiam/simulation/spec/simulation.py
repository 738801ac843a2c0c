"""A whole simulation recipe, read from YAML."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

import numpy as np
import yaml
from pydantic import Field, ValidationError, model_validator

from cryosiam.errors import InputError
from cryosiam.simulation.spec.base import Drawn, SpecPart, highest, lowest
from cryosiam.simulation.spec.microscope import MicroscopeSpec
from cryosiam.simulation.spec.specimen import SpecimenSpec

MAX_VOXELS = 1_000_000_000
"""Largest volume that is simulated."""

_DRAW_STREAM = 0xD7A3
_BYTES_PER_VOXEL = 50
"""Specimen, labels, reconstructions and transforms, held at the same time."""


class NoiseSpec(SpecPart):
    """Empirical background: real tomograms mixed into the noisy volumes, not into the tilt images.

    What is reconstructed from the simulated tilt series by other programs holds none of it.

    Attributes
    ----------
    tomograms
        MRC files of real tomograms, relative to the recipe.
    mode
        ``phase-randomised`` keeps a tomogram's power spectrum and nothing else; ``crop`` takes a piece as it is
        (choose tomograms, or parts of them, that hold no particles).
    share
        Share of the noise variance that comes from them.
    """

    tomograms: tuple[str, ...] = ()
    mode: Literal["phase-randomised", "crop"] = "phase-randomised"
    share: Drawn = 0.5

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 0 <= lowest(self.share) <= highest(self.share) <= 1:
            raise ValueError("share must lie between 0 and 1")
        return self


class SimulationSpec(SpecPart):
    """Specimen and microscope of a set of simulated tomograms.

    Attributes
    ----------
    name
        Of the recipe; it begins the names of runs, so no underscore.
    shape_zyx, voxel_size_angstrom
        Volume in voxels, and the cubic voxel's edge in Å.
    path
        ``exact``: project, image and reconstruct; ``fast``: the same optics as one 3D Fourier filter.
    specimen, microscope, noise
        See there.
    """

    name: str = Field(default="simulated", min_length=1, pattern=r"^[^_/\s]+$")
    shape_zyx: tuple[int, int, int] = (96, 256, 256)
    voxel_size_angstrom: float = Field(default=10.0, ge=1, le=100)
    path: Literal["exact", "fast"] = "exact"
    specimen: SpecimenSpec = SpecimenSpec()
    microscope: MicroscopeSpec = MicroscopeSpec()
    noise: NoiseSpec = NoiseSpec()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if min(self.shape_zyx) < 16 or max(self.shape_zyx) > 4096:
            raise ValueError("shape_zyx must lie between 16 and 4096 voxels along each axis")
        voxels = math.prod(self.shape_zyx)
        if voxels > MAX_VOXELS:
            raise ValueError(
                f"shape_zyx asks for {voxels / 1e9:.4g} billion voxels, which would need about "
                f"{voxels * _BYTES_PER_VOXEL / 1e9:.0f} GB of memory; ask for {MAX_VOXELS / 1e9:g} billion or less"
            )
        depth_nm = self.shape_zyx[0] * self.voxel_size_angstrom / 10
        if highest(self.specimen.slab.thickness_nm) > depth_nm:
            raise ValueError(
                f"slab.thickness_nm of {highest(self.specimen.slab.thickness_nm):g} does not fit a volume "
                f"{depth_nm:g} nm deep"
            )
        return self

    def for_seed(self, seed: int) -> Self:
        """Return the recipe of one tomogram: every range replaced by a number drawn with ``seed``."""
        return self.drawn(np.random.default_rng([seed, _DRAW_STREAM]))


def parse_spec(text: str, origin: str) -> SimulationSpec:
    """Read a recipe from YAML text.

    Parameters
    ----------
    text
        YAML.
    origin
        Named in errors, usually the file.

    Raises
    ------
    InputError
        If it is not YAML, or a key is unknown or a value impossible; the sentence names the key.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        line = getattr(getattr(problem, "problem_mark", None), "line", None)
        where = "" if line is None else f" near line {line + 1}"
        raise InputError(f"{origin} is not readable YAML{where}; correct it there") from None
    if not isinstance(content, dict):
        raise InputError(f"{origin} is not a simulation recipe: it holds no keys such as 'specimen' or 'microscope'")
    try:
        return SimulationSpec.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the recipe"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{origin}: {key}: {reason}; see the recipe's schema in docs/simulation.md") from None


def read_spec(path: Path | str) -> SimulationSpec:
    """Read a recipe from a YAML file, or a preset by its name.

    Raises
    ------
    InputError
        If there is neither, or it does not hold a recipe.
    """
    from cryosiam.simulation.presets import preset_names, preset_text

    file = Path(path)
    if not file.is_file():
        if str(path) in preset_names():
            return parse_spec(preset_text(str(path)), f"preset {path}")
        raise InputError(
            f"no simulation recipe at '{path}': give a YAML file, or one of the presets {', '.join(preset_names())}"
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} cannot be read as text ({problem}); give a YAML file") from None
    return parse_spec(text, str(path))
