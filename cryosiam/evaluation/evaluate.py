"""Everything that can be measured of a project with truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import cryosiam
from cryosiam.errors import InputError
from cryosiam.evaluation.denoising_results import denoising_result
from cryosiam.evaluation.embedding_results import identification_result
from cryosiam.evaluation.label_results import dice_result, instance_result
from cryosiam.evaluation.pick_results import (
    ComparedPicks,
    calibration_result,
    compared_picks,
    czii_result,
    picks_result,
)
from cryosiam.evaluation.project import AnnotatedProject, LeftOutError, Request
from cryosiam.evaluation.results import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def evaluate(
    project: AnnotatedProject, request: Request, note: Callable[[str], None] = lambda text: None
) -> Evaluation:
    """Measure all that truth and predictions of a project allow.

    Parameters
    ----------
    project
        Its selected runs must all have truth.
    request
        What to compare, and how.
    note
        Called with a line before each piece of work.

    Returns
    -------
    Evaluation
        What cannot be measured is None there, with the reason in ``left_out``.

    Raises
    ------
    InputError
        If a run has no truth or no prediction at all, or truth and prediction contradict each other.
    """
    _check_runs(project, request)
    left_out: dict[str, str] = {}

    def attempt(name: str, measure: Callable[[], T]) -> T | None:
        try:
            return measure()
        except LeftOutError as reason:
            left_out[name] = str(reason)
            return None

    def of_picks(name: str, measure: Callable[[ComparedPicks], T]) -> T | None:
        if compared is None:
            left_out[name] = left_out["picks"]
            return None
        pairs = compared
        return attempt(name, lambda: measure(pairs))

    compared = attempt("picks", lambda: compared_picks(project, request))
    result = Evaluation(
        cryosiam=cryosiam.__version__,
        project=project.name,
        truth=str(request.truth),
        predicted=str(request.predicted),
        runs=list(project.runs()),
        picks=of_picks("picks", lambda pairs: picks_result(pairs, request.hit_fraction)),
        czii=of_picks("czii", czii_result),
        calibration=of_picks("calibration", lambda pairs: calibration_result(pairs, request.hit_fraction)),
        dice=attempt("dice", lambda: dice_result(project, request, note)),
        instances=attempt("instances", lambda: instance_result(project, request, note)),
        denoising=attempt("denoising", lambda: denoising_result(project, request, note)),
        identification=of_picks("identification", lambda pairs: identification_result(project, request, pairs, note)),
        left_out=left_out,
    )
    if all(part is None for part in (result.picks, result.dice, result.instances, result.denoising)):
        reasons = "; ".join(dict.fromkeys(left_out[name] for name in ("picks", "dice", "instances", "denoising")))
        raise InputError(f"nothing of {project.name} can be evaluated: {reasons}")
    return result


def _check_runs(project: AnnotatedProject, request: Request) -> None:
    """Refuse runs without truth or without prediction."""
    for run in project.runs():
        if not project.has_annotations(run, request.truth):
            raise InputError(
                f"run '{run}' of {project.name} has no truth by {request.truth}; "
                "name who made it with --truth, or choose the runs to evaluate with -r"
            )
        if not project.has_annotations(run, request.predicted):
            raise InputError(
                f"run '{run}' of {project.name} has nothing by {request.predicted} to evaluate; run 'cryosiam pick' "
                "first, name who made it with --picks, or choose the runs to evaluate with -r"
            )
