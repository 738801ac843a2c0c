"""``cryosiam relion-job``: pick as an External job of RELION."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import typer

from cryosiam.cli.options import ContrastChoice
from cryosiam.errors import CryoSiamError, InputError

if TYPE_CHECKING:
    from cryosiam.cli.pick import PickOptions
    from cryosiam.integrations.relion.job_flags import JobFlags
    from cryosiam.integrations.relion.job_folder import JobFolder

HELP = (
    "Pick as an External job of RELION 3.1, 4 or 5; RELION writes this command line. [b]--job-star[/] alone prints a "
    "job that RELION can load."
)

CONTEXT: Final = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "help_option_names": ["-h", "--help"],
}
"""RELION adds flags of its own, so none is refused."""

_JOB_STAR: Final = "--job-star"

EPILOG = (
    "[b]In RELION[/]\n\n"
    "External executable: cryosiam relion-job\n\n"
    "Input micrographs: Tomograms/job006/tomograms.star, or parameter [b]tomograms[/] with that value\n\n"
    "Parameters, all optional: weights, objects, nothing_else, threshold, tomogram (reconstructed, halves, denoised), "
    "runs, contrast, low_pass, binned_by_averaging, device, gpu, memory\n\n"
    "[b]Examples[/]\n\n"
    "cryosiam relion-job --o External/job007/ --in_mics Tomograms/job006/tomograms.star --threshold 0.5 --j 4\n\n"
    "cryosiam relion-job --job-star > job.star\n\n"
    "relion_pipeliner --addJobFromStar job.star --addJobOptions 'in_mic == Tomograms/job006/tomograms.star'"
)


def relion_job(context: typer.Context) -> None:
    """Run the job whose command line RELION has made, and tell RELION how it ended."""
    from cryosiam.integrations.relion.job_flags import job_folder
    from cryosiam.integrations.relion.job_folder import STOPPED, JobEnd, JobFolder, StopRequests

    if context.args == [_JOB_STAR]:
        typer.echo(files("cryosiam.integrations.relion").joinpath("job.star").read_text(encoding="utf-8"), nl=False)
        return
    folder = JobFolder(job_folder(context.args))
    folder.begin()
    requests = StopRequests(folder)
    end = JobEnd.FAILURE
    with requests.heeded():
        try:
            _work(folder, context.args)
            end = JobEnd.SUCCESS
        except BaseException as error:
            if not requests.any:
                _report(error)
        finally:
            requests.close()
            if requests.any and end is not JobEnd.SUCCESS:
                sys.stderr.write("stopped; continue the job to go on\n")
                end = JobEnd.ABORTED
            sys.stdout.flush()
            sys.stderr.flush()
            folder.end(end)
    raise typer.Exit({JobEnd.SUCCESS: 0, JobEnd.FAILURE: 1, JobEnd.ABORTED: STOPPED}[end])


def _report(error: BaseException) -> None:
    """Write a sentence to run.err for what a user can mend, else the trace."""
    from cryosiam.pipeline.storage import storage_error

    known = storage_error(error, "cannot write") if isinstance(error, OSError) else None
    if isinstance(known or error, CryoSiamError):
        sys.stderr.write(f"error: {known or error}\n")
    else:
        traceback.print_exception(error)


def _work(folder: JobFolder, words: Sequence[str]) -> None:
    from cryosiam.cli.compose import compose, conclude
    from cryosiam.integrations.relion.job_flags import read_flags
    from cryosiam.integrations.relion.job_outputs import write_outputs
    from cryosiam.pipeline.progress import PlainReporter
    from cryosiam.ports import ProjectSource

    flags = read_flags(words, tuple(_SETTINGS))
    reporting = PlainReporter()
    for note in flags.notes:
        reporting.note(note)
    runner = compose(_options(flags), "pick", particles_folder=folder.path.absolute()).runner(reporting)
    outcome = runner.run()
    source = runner.project.source
    version = 4 if isinstance(source, ProjectSource) and source.hand_back.sink == "relion4" else 5
    nodes = write_outputs(folder.path, runner.manifest, version)
    # What was found in the other tomograms can be used, also where one of them makes the job fail.
    folder.write_nodes(nodes)
    conclude(outcome, runner, reporting)
    if not nodes:
        raise InputError(
            "no particles were found that score enough; lower the parameter 'threshold', or look at the pictures in "
            f"{folder.path}"
        )


def _options(flags: JobFlags) -> PickOptions:
    from cryosiam.cli.pick import PickOptions

    if flags.tomograms_star is None:
        raise InputError(
            "no tomograms were given; put tomograms.star into the field for input micrographs, or name a parameter "
            "'tomograms'"
        )
    chosen: dict[str, Any] = {}
    for name, text in flags.settings.items():
        option, convert = _SETTINGS[name]
        try:
            chosen[option] = convert(text)
        except ValueError as error:
            raise InputError(
                f"--{name} '{text}' cannot be read as {_WANTED[convert]}; correct the parameter"
            ) from error
    return PickOptions(relion=flags.tomograms_star, out=flags.folder, threads=flags.threads, **chosen)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _gpu(text: str) -> str:
    """Return the device for a list of GPUs as RELION writes it; one is used."""
    return f"cuda:{int(text.replace(':', ',').split(',')[0])}"


def _yes(text: str) -> bool:
    """Return whether RELION's Yes or No, or the like, is a yes."""
    answers = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in answers:
        raise ValueError(text)
    return answers[text.lower()]


_SETTINGS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "weights": ("weights", str),
    "objects": ("objects", str),
    "nothing-else": ("nothing_else", _yes),
    "threshold": ("threshold", float),
    "tomogram": ("tomogram", str),
    "runs": ("runs", _words),
    "contrast": ("contrast", ContrastChoice),
    "low-pass": ("low_pass", float),
    "binned-by-averaging": ("binned_by_averaging", int),
    "device": ("device", str),
    "gpu": ("device", _gpu),
    "memory": ("memory", str),
}
"""Option of ``cryosiam pick`` behind every parameter, and how its text is read."""

_WANTED: Final[dict[Callable[[str], Any], str]] = {
    float: "a number",
    int: "a whole number",
    ContrastChoice: "auto, dark or bright",
    _gpu: "the number of a GPU",
    _yes: "Yes or No",
}
