"""Figures of picks over the runs of a project: F1, precision-recall, the CZII score, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError
from cryosiam.evaluation.calibration import brier_score, reliability
from cryosiam.evaluation.czii import CziiScore, czii_score
from cryosiam.evaluation.picks import (
    DetectionScore,
    average_precision,
    hits,
    precision_recall_curve,
)
from cryosiam.evaluation.project import AnnotatedProject, LeftOutError, Request
from cryosiam.evaluation.results import (
    CalibrationResult,
    CurveResult,
    CziiResult,
    CziiVariant,
    PickResult,
    PicksResult,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cryosiam.domain import Picks

_CURVE_POINTS = 400


@dataclass(frozen=True)
class ComparedPicks:
    """Picks and truth of every run.

    Parameters
    ----------
    runs
        Picks and truth by run.
    radii_angstrom
        Radius of every species of the truth.
    """

    runs: dict[str, tuple[Picks, Picks]]
    radii_angstrom: dict[str, float]


def compared_picks(project: AnnotatedProject, request: Request) -> ComparedPicks:
    """Read the picks of all runs.

    A run without picks counts as one in which nothing was found, as there are others with picks.

    Raises
    ------
    LeftOutError
        If no run has true picks, or none has predicted ones.
    InputError
        If a species has no radius.
    """
    runs = {run: (project.picks(run, request.predicted), project.picks(run, request.truth)) for run in project.runs()}
    if not any(len(truth) for _, truth in runs.values()):
        raise LeftOutError("the truth has no picks")
    if not any(len(picks) for picks, _ in runs.values()):
        raise LeftOutError("there are no predicted picks")
    known = project.radii_angstrom()
    species = sorted({name for _, truth in runs.values() for name in truth.class_names})
    lacking = [name for name in species if name not in known]
    if lacking:
        raise InputError(
            f"{project.name} states no radius of '{lacking[0]}', which tells what a hit is; add it to the object"
        )
    return ComparedPicks(runs, {name: known[name] for name in species})


def picks_result(compared: ComparedPicks, hit_fraction: float) -> PicksResult:
    """Match the picks of all runs, all species together and each by itself."""
    together = _Outcome.of(compared.runs, compared.radii_angstrom, hit_fraction)
    names = sorted({name for pair in compared.runs.values() for side in pair for name in side.class_names})
    outcomes = {
        name: _Outcome.of(
            {run: (picks.of_class(name), truth.of_class(name)) for run, (picks, truth) in compared.runs.items()},
            compared.radii_angstrom,
            hit_fraction,
        )
        for name in names
    }
    species = {name: outcome.result() for name, outcome in outcomes.items()}
    real = [species[name] for name in compared.radii_angstrom]
    return PicksResult(
        hit_fraction=hit_fraction,
        together=together.result(),
        named=_Outcome.joined(list(outcomes.values())).result(),
        species=species,
        mean_f1=float(np.mean([one.f1 for one in real if one.f1 is not None])),
        mean_average_precision=float(np.mean([one.average_precision or 0.0 for one in real])),
        curve=together.curve(),
    )


@dataclass(frozen=True)
class _Outcome:
    """Counts by run, and score and hit of every pick."""

    counts: dict[str, DetectionScore]
    scores: NDArray[np.float64]
    hit: NDArray[np.bool_]

    @classmethod
    def of(
        cls, runs: Mapping[str, tuple[Picks, Picks]], radii_angstrom: Mapping[str, float], fraction: float
    ) -> _Outcome:
        """Match picks and truth, run by run."""
        hit = {run: hits(picks, truth, radii_angstrom, fraction) for run, (picks, truth) in runs.items()}
        return cls(
            {run: DetectionScore(len(truth), len(picks), int(hit[run].sum())) for run, (picks, truth) in runs.items()},
            np.concatenate([picks.scores for picks, _ in runs.values()]),
            np.concatenate(list(hit.values())),
        )

    @classmethod
    def joined(cls, outcomes: list[_Outcome]) -> _Outcome:
        """Pool the outcomes of several species."""
        runs = outcomes[0].counts
        return cls(
            {run: sum((one.counts[run] for one in outcomes), DetectionScore(0, 0, 0)) for run in runs},
            np.concatenate([one.scores for one in outcomes]),
            np.concatenate([one.hit for one in outcomes]),
        )

    @property
    def total(self) -> DetectionScore:
        """Counts of all runs."""
        return sum(self.counts.values(), DetectionScore(0, 0, 0))

    def result(self) -> PickResult:
        total = self.total
        precision, recall, score = precision_recall_curve(self.scores, self.hit, total.truth)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = int(f1.argmax()) if len(f1) and total.truth else None
        return PickResult(
            truth=total.truth,
            picked=total.picked,
            matched=total.matched,
            precision=total.precision,
            recall=total.recall,
            f1=total.f1,
            average_precision=average_precision(self.scores, self.hit, total.truth),
            best_f1=None if best is None else float(f1[best]),
            best_f1_score=None if best is None else float(score[best]),
            f1_by_run=spread({run: one.f1 for run, one in self.counts.items()}),
        )

    def curve(self) -> CurveResult:
        """Return the curve, thinned to so many points that a plot shows no difference."""
        precision, recall, score = precision_recall_curve(self.scores, self.hit, self.total.truth)
        kept = np.unique(np.linspace(0, len(score) - 1, min(len(score), _CURVE_POINTS)).astype(int))
        return CurveResult(precision=precision[kept].tolist(), recall=recall[kept].tolist(), score=score[kept].tolist())


def czii_result(compared: ComparedPicks) -> CziiResult:
    """Return the CZII challenge's score, counted in both ways."""

    def variant(one_to_one: bool) -> tuple[CziiScore, CziiVariant]:
        def score(runs: Mapping[str, tuple[Picks, Picks]]) -> CziiScore:
            return czii_score(runs.values(), compared.radii_angstrom, one_to_one=one_to_one)

        whole = score(compared.runs)
        single = {run: score({run: pair}).score for run, pair in compared.runs.items()}
        return whole, CziiVariant(score=whole.score, by_class=whole.by_class, by_run=spread(single))

    whole, public = variant(one_to_one=False)
    return CziiResult(public=public, one_to_one=variant(one_to_one=True)[1], weights=whole.weights)


def calibration_result(compared: ComparedPicks, hit_fraction: float) -> CalibrationResult:
    """Compare the scores of the picks with the share of them that hit a particle of any species.

    Raises
    ------
    LeftOutError
        If the scores are no probabilities, or all picks have the same.
    """
    outcome = _Outcome.of(compared.runs, compared.radii_angstrom, hit_fraction)
    scores = outcome.scores
    if scores.min() < 0 or scores.max() > 1:
        raise LeftOutError(f"the picks' scores go from {scores.min():g} to {scores.max():g} and are no probabilities")
    if len(scores) > 1 and np.ptp(scores) == 0:
        raise LeftOutError("all picks have the same score")
    diagram = reliability(scores, outcome.hit)
    return CalibrationResult(
        picks=len(scores),
        expected_calibration_error=diagram.expected_calibration_error,
        maximum_calibration_error=diagram.maximum_calibration_error,
        brier_score=brier_score(scores, outcome.hit),
        bin_edges=diagram.edges.tolist(),
        bin_counts=diagram.counts.tolist(),
        mean_score=diagram.mean_score.tolist(),
        hit_share=diagram.hit_share.tolist(),
    )
