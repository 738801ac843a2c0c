"""The record of an evaluation: ``evaluation.json``, whose JSON Schema is ``schemas/evaluation.schema.json``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
FILE_NAME = "evaluation.json"


def _known(value: Any) -> Any:
    """Return None for NaN and infinity, which JSON cannot hold."""
    return value if value is None or math.isfinite(value) else None


Figure = Annotated[float | None, BeforeValidator(_known)]
"""A number; null where it is not defined, as the precision of no picks."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(_Record):
    """A figure over tomograms."""

    mean: Figure = Field(description="Mean over the tomograms in which it is defined.")
    std: Figure = Field(description="Sample standard deviation over them; null for fewer than two.")
    n: int = Field(description="Number of tomograms in which it is defined.")
    by_run: dict[str, Figure] = Field(description="The figure of each tomogram.")


def spread(values: Mapping[str, float]) -> Spread:
    """Return mean, sample standard deviation and number of the finite values of the runs."""
    finite = [float(value) for value in values.values() if math.isfinite(value)]
    return Spread(
        mean=float(np.mean(finite)) if finite else None,
        std=float(np.std(finite, ddof=1)) if len(finite) > 1 else None,
        n=len(finite),
        by_run={run: float(value) for run, value in values.items()},
    )


class DiceResult(_Record):
    """Dice of the semantic segmentation (thesis equation 19)."""

    classes: dict[str, Spread] = Field(description="By class, over the tomograms whose truth holds the class.")
    pooled: dict[str, Figure] = Field(description="By class, all tomograms counted as one volume.")
    all_classes: Spread = Field(description="Mean over the classes that the truth of a tomogram holds, background too.")
    foreground: Spread = Field(description="The same without background.")


class InstanceClassResult(_Record):
    """Average precision of the instances of one size class (thesis equations 20 to 22)."""

    truth: int = Field(description="True instances in all tomograms.")
    average_precision: Spread = Field(description="Mean over all thresholds.")
    at: dict[str, Spread] = Field(description="AP-50 to AP-80: at one threshold each.")
    pooled_at: dict[str, Figure] = Field(description="The same, all tomograms counted as one.")


class InstanceResult(_Record):
    """Average precision of instances, over all and by size class."""

    thresholds: list[float]
    sizes: dict[str, InstanceClassResult] = Field(description="By 'all' and by size class.")


class PickResult(_Record):
    """Picks against true particles, matched one-to-one (Hungarian; thesis equations 23 to 25)."""

    truth: int
    picked: int
    matched: int
    precision: Figure
    recall: Figure
    f1: Figure
    average_precision: Figure = Field(description="Area under the precision-recall curve.")
    best_f1: Figure = Field(description="Best F1 of any least score.")
    best_f1_score: Figure = Field(description="Least score of the picks that reach it.")
    f1_by_run: Spread


class CurveResult(_Record):
    """Precision and recall of the picks that score at least so much, all species together."""

    precision: list[float]
    recall: list[float]
    score: list[float]


class PicksResult(_Record):
    """Picks, all species together and by species."""

    hit_fraction: float = Field(description="A hit is within this share of the radius.")
    together: PickResult = Field(description="All picks and all particles, whatever their names.")
    named: PickResult = Field(description="Counts of all species added up: a hit has the right name too.")
    species: dict[str, PickResult]
    mean_f1: Figure = Field(description="Mean of F1 over the species of the truth.")
    mean_average_precision: Figure
    curve: CurveResult


class CziiVariant(_Record):
    """The CZII challenge's score counted in one of two ways."""

    score: Figure = Field(description="Weighted mean over classes of F-beta, beta 4, counts pooled over tomograms.")
    by_class: dict[str, float]
    by_run: Spread = Field(description="The score of each tomogram by itself.")


class CziiResult(_Record):
    """The CZII challenge's score."""

    public: CziiVariant = Field(description="As the public scorer counts: any pick within half the radius.")
    one_to_one: CziiVariant
    weights: dict[str, float]


class CalibrationResult(_Record):
    """Scores against the share of picks that are true, whatever their names."""

    picks: int
    expected_calibration_error: Figure
    maximum_calibration_error: Figure
    brier_score: Figure
    bin_edges: list[float]
    bin_counts: list[int]
    mean_score: list[Figure]
    hit_share: list[Figure]


class SpeciesIdentification(_Record):
    """Identification of one species."""

    particles: int
    mass_kda: Figure
    knn_f1: Figure
    mlp_f1: Figure


class IdentificationResult(_Record):
    """Species told apart by the embeddings of picks that hit a particle, learnt on other tomograms."""

    embeddings: str
    particles: int
    species: dict[str, SpeciesIdentification]
    mean_knn_f1: Figure
    mean_mlp_f1: Figure
    mass_is: str = Field(description="Where masses come from.")


class FidelityResult(_Record):
    """One type of tomogram against the clean one, grey values matched by a straight line."""

    tomogram: str
    psnr_db: Spread
    ssim: Spread
    correlation: Spread = Field(description="Pearson correlation of the voxels.")
    resolution_05_angstrom: Spread = Field(description="Where the Fourier shell correlation falls below 0.5.")
    resolution_0143_angstrom: Spread = Field(description="Where it falls below 0.143.")
    frequency_per_angstrom: list[float]
    shell_correlation: list[Figure] = Field(description="Mean over tomograms.")


class DenoisingResult(_Record):
    """The denoised tomogram, and the one it was made of, against the clean one."""

    clean: str
    denoised: FidelityResult
    source: FidelityResult | None = Field(None, description="The tomogram as it was before denoising.")


class Evaluation(_Record):
    """All that was measured."""

    format: int = FORMAT
    cryosiam: str
    project: str
    truth: str = Field(description="user/session")
    predicted: str = Field(description="user/session")
    runs: list[str]
    dice: DiceResult | None = None
    instances: InstanceResult | None = None
    picks: PicksResult | None = None
    czii: CziiResult | None = None
    calibration: CalibrationResult | None = None
    identification: IdentificationResult | None = None
    denoising: DenoisingResult | None = None
    left_out: dict[str, str] = Field(default_factory=dict, description="What was not measured, and why.")


def evaluation_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``evaluation.json``; ``schemas/evaluation.schema.json`` is this."""
    schema = Evaluation.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "CryoSiam evaluation"
    return schema
