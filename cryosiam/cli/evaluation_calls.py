"""What ``cryosiam evaluate`` does."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.cli.evaluation_tables import print_evaluation
from cryosiam.errors import InputError
from cryosiam.evaluation.evaluate import evaluate
from cryosiam.evaluation.project import Annotator, Request
from cryosiam.evaluation.results import FILE_NAME
from cryosiam.integrations.copick.annotations import CopickAnnotations
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.pipeline.progress import reporter
from cryosiam.pipeline.storage import storage_errors, write_text_whole
from cryosiam.report.evaluation import write_plots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryosiam.cli.evaluate import EvaluateOptions

EMBEDDINGS = Path("cryosiam") / "embeddings.parquet"
"""Where ``cryosiam pick`` writes embeddings, beside the project."""

OUT = "evaluation"
MOST_HIT_FRACTION = 2.0


def evaluate_project(options: EvaluateOptions) -> None:
    """Evaluate a project, print the tables, and write ``evaluation.json`` and the plots.

    Raises
    ------
    CryoSiamError
        If an option or the project cannot be used, or the folder cannot be written.
    """
    if not 0 < options.hit_fraction <= MOST_HIT_FRACTION:
        raise InputError(f"--hit-fraction {options.hit_fraction:g} is not a share of the radius; 0.5 is usual")
    project = _open(options, options.runs)
    truth = _annotator(options.truth, "--truth", project, "name who made the truth")
    predicted = _annotator(options.picks, "--picks", project, "run 'cryosiam pick' first, or name who made them")
    if truth == predicted:
        raise InputError(f"--truth and --picks are both {truth}; name whose results to compare with the truth")
    with reporter(options.quiet) as reporting, _folder(options.out or options.copick.parent / OUT) as out:
        without = [] if options.runs else [run for run in project.runs() if not project.has_annotations(run, truth)]
        if without:
            reporting.warn(f"left out, as they have no truth by {truth}: {', '.join(without)}")
            project = _open(options, [run for run in project.runs() if run not in without])
        denoised = options.denoised or _denoised_type(project, predicted)
        request = Request(
            truth=truth,
            predicted=predicted,
            hit_fraction=options.hit_fraction,
            clean=options.clean,
            denoised=denoised,
            source=_source_type(denoised, predicted),
            embeddings=_embeddings(options),
            scratch=out,
        )
        result = evaluate(project, request, reporting.note)
        text = json.dumps(result.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_whole(out / FILE_NAME, text + "\n")
        plots = write_plots(out, result)
    if not options.quiet:
        print_evaluation(result, [out / FILE_NAME, *plots])


def _open(options: EvaluateOptions, runs: list[str] | None) -> CopickAnnotations:
    return CopickAnnotations(options.copick, runs, options.semantic, options.instances)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """Give the results folder; one that was made and stayed empty, as an evaluation failed, is removed.

    Raises
    ------
    CryoSiamError
        If it is a file, or cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file; give a folder")
    refuse_read_only(path, "give another --out")
    with storage_errors("cannot write"):
        path.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            if not any(path.iterdir()):
                path.rmdir()


def _annotator(text: str, option: str, project: CopickAnnotations, advice: str) -> Annotator:
    """Read ``user/session``; a user alone means the only session there is.

    Raises
    ------
    InputError
        If there is nothing by this user in this session.
    """
    there = project.annotators()
    user, _, session = text.partition("/")
    fitting = [one for one in there if one.user_id == user and (not session or one.session_id == session)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = ", ".join(map(str, fitting))
        raise InputError(f"{option} {text} means several sessions of {project.name}; choose one of {choices}")
    known = f"only by {', '.join(map(str, there))}" if there else "and by nobody else"
    raise InputError(f"{project.name} holds nothing by {text}, {known}; {advice} with {option} USER/SESSION")


def _denoised_type(project: CopickAnnotations, predicted: Annotator) -> str:
    """Return the type of the denoised tomogram that cryosiam wrote; what it would be called where there is none."""
    ending = _denoised_ending(predicted)
    found = [kind for kind in project.tomogram_types() if kind.endswith(ending)]
    if len(found) > 1:
        raise InputError(
            f"{project.name} has {len(found)} denoised tomograms by {predicted} ({', '.join(found)}); "
            "choose one with --denoised"
        )
    return found[0] if found else f"*{ending}"


def _source_type(denoised: str, predicted: Annotator) -> str | None:
    """Return the type of the tomogram that a denoised one was made of, as its name has it."""
    source, ending, _ = denoised.partition(_denoised_ending(predicted))
    return source if ending and source != "*" else None


def _denoised_ending(predicted: Annotator) -> str:
    return f"-denoised-{predicted.user_id}-{predicted.session_id}"


def _embeddings(options: EvaluateOptions) -> Path | None:
    if options.embeddings is None:
        usual = options.copick.parent / EMBEDDINGS
        return usual if usual.is_file() else None
    if not options.embeddings.is_file():
        raise InputError(f"there is no file {options.embeddings}; give the embeddings.parquet of 'cryosiam pick'")
    return options.embeddings
