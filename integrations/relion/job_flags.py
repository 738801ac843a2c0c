"""The command line that RELION makes for an External job.

RELION calls ``<executable> --o External/job007/ [--in_mics FILE ...] [--<label> <value> ...] --j N <other arguments>``
(pipeline_jobs.cpp, ``getCommandsExternalJob``). A label without value stands alone, and ``--pipeline_control
External/job007/`` is added whenever ``relion_`` occurs anywhere in the command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FOLDERS: Final = ("o", "pipeline-control")
_TOMOGRAMS: Final = (
    "tomograms",
    "in-tomograms",
    "in-tomoset",
    "in-tomograms-star",
    "tomograms-star",
    "in-mics",
    "in-micrographs",
)
"""RELION's form has no field for tomograms: users name a parameter, or take the field for micrographs."""
_INPUTS_WITHOUT_USE: Final = ("in-movies", "in-parts", "in-coords", "in-3dref", "in-mask")
_SILENT: Final = ("continue",)
"""A job always goes on where it was."""


@dataclass(frozen=True)
class JobFlags:
    """What RELION asks for.

    Parameters
    ----------
    folder
        The job's folder.
    tomograms_star
        The tomograms, or None where the user gave none.
    threads
        ``--j``, or None.
    settings
        Value of every other setting, by its name with hyphens; those left empty are not in it.
    notes
        Sentences on flags that are of no use here.
    """

    folder: Path
    tomograms_star: Path | None = None
    threads: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def job_folder(words: Sequence[str]) -> Path:
    """Return the job's folder.

    Raises
    ------
    InputError
        If none is named.
    """
    flags, _ = _split(words)
    named = next((flags[name] for name in _FOLDERS if flags.get(name)), None)
    if named is None:
        raise InputError("no job folder was given; RELION names it by --o External/job007/")
    return Path(named)


def read_flags(words: Sequence[str], known: Sequence[str]) -> JobFlags:
    """Return what the words of the command line mean.

    Parameters
    ----------
    words
        Everything behind ``relion-job``.
    known
        Names of the settings, with hyphens.

    Raises
    ------
    InputError
        If there is no job folder, or ``--j`` is not a number.
    """
    flags, loose = _split(words)
    notes = [f"'{word}' belongs to no flag and is left out" for word in loose]
    settings = {}
    for name, value in flags.items():
        if name in (*_FOLDERS, *_TOMOGRAMS, *_SILENT, "j"):
            continue
        if name in _INPUTS_WITHOUT_USE:
            notes.append(f"--{name.replace('-', '_')} is not used: particles are picked in the tomograms")
        elif name not in known:
            notes.append(f"--{name} is not a setting of this job and is left out; there are {', '.join(known)}")
        elif value:
            settings[name] = value
    tomograms = next((flags[name] for name in _TOMOGRAMS if flags.get(name)), None)
    return JobFlags(
        job_folder(words), Path(tomograms) if tomograms else None, _threads(flags.get("j")), settings, tuple(notes)
    )


def _split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the value of every flag, by its name with hyphens, and the words before the first flag."""
    flags: dict[str, str] = {}
    loose: list[str] = []
    name: str | None = None
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            name = name.lower().replace("_", "-")
            flags[name] = value
        elif name is None:
            loose.append(word)
        else:
            flags[name] = f"{flags[name]} {word}".strip()
    return flags, loose


def _threads(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--j '{text}' is not a number of threads; give a whole number from 1")
    return int(text)
