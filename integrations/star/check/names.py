"""Rules on names of tomograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import Hit, Program, error, for_all, note, rule, wrong
from cryosiam.integrations.star.check.words import MICROGRAPH, NAME

_SPLIT = "RELION src/jaz/tomography/particle_set.cpp splitByTomogram; measured with 5.0.1"
_IMPORT4 = "RELION 4 src/jaz/tomography/apps/import_particles.cpp"
_WARP_EXPORT = "Warp ExportParticlesTiltseries.cs, GroupParticles"
_M_NAMES = "Warp MTools/Commands/ParticleStarParsing.cs, FromRelionStar"
_SCIPION = "reliontomo protocol_base_import_from_star.py"


@rule(
    "no-tomogram-name",
    "The particles do not say which tomogram they are from.",
    {
        Program.RELION5: error('stops: "rlnTomoName missing from MetaDataTable"', _SPLIT),
        Program.RELION4: error('stops: the file "does not contain tomogram names (rlnTomoName)"', _IMPORT4),
        Program.WARP: error(
            'stops: "Input STAR must have one of rlnMicrographName or rlnTomoName"',
            "Warp ExportParticlesTiltseries.cs, ValidateInputStar",
        ),
        Program.M: error("stops: the table must contain rlnMicrographName or rlnTomoName", _M_NAMES),
        Program.SCIPION: error("matches no tomogram and refuses the file", _SCIPION),
    },
)
def _no_tomogram_name(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.name_column is None and not context.is_native_m:
        columns = f"{NAME} or {MICROGRAPH}" if context.program in (Program.WARP, Program.M, Program.SCIPION) else NAME
        yield Hit(f"data_{context.block} has no {columns}", mend.export(context), block=context.block)


@rule(
    "unknown-names",
    "Some tomogram names of the particles are not in tomograms.star.",
    {
        Program.RELION5: wrong("drops those particles with no more than a warning", _SPLIT),
        Program.RELION4: error('stops at the import: "No tomogram named ... found"', _IMPORT4),
        Program.WARP: wrong("leaves those particles out without a word", _WARP_EXPORT),
        Program.M: error("stops for particles that match no data source, unless --ignore_unmatched", _M_NAMES),
        Program.SCIPION: wrong("drops those particles with a line in the log", _SCIPION),
    },
)
def _unknown_names(context: Context) -> Iterator[Hit]:
    unknown = _unknown(context)
    if unknown and len(unknown) < len(set(context.names)):
        lost = sum(unknown.values())
        yield Hit(
            f"{_listed(list(unknown))} {'is' if len(unknown) == 1 else 'are'} not in {_tomograms(context)} "
            f"({lost} of {len(context.names)} particles)",
            "use the names of tomograms.star, or give the tomograms.star that has these tomograms",
            block=context.block,
            column=context.name_column,
            row=1 + context.names.index(next(iter(unknown))),
        )


@rule(
    "no-known-name",
    "No tomogram name of the particles is in tomograms.star.",
    {
        Program.RELION5: error('stops: "no particles found that belong to any of the defined tomograms"', _SPLIT),
        Program.RELION4: error('stops at the import: "No tomogram named ... found"', _IMPORT4),
        Program.WARP: error(
            'stops: "No particles to write out"', "Warp ExportParticlesTiltseries.cs, WriteOutputStarFile"
        ),
        Program.M: error(
            "stops for particles that match no data source, and makes an empty species with --ignore_unmatched",
            _M_NAMES,
        ),
        Program.SCIPION: error('refuses the file: "No matching TsIds were found"', _SCIPION),
    },
)
def _no_known_name(context: Context) -> Iterator[Hit]:
    unknown = _unknown(context)
    if unknown and len(unknown) == len(set(context.names)):
        assert context.tomograms is not None
        yield Hit(
            f"{_listed(list(unknown))} {'is' if len(unknown) == 1 else 'are'} not in {_tomograms(context)}, "
            f"which has {_listed(sorted(context.tomograms.names))}",
            "use the names of tomograms.star, or give the tomograms.star that has these tomograms",
            block=context.block,
            column=context.name_column,
            row=1,
        )


def _unknown(context: Context) -> dict[str, int]:
    """Return the names that match no tomogram, with their numbers of particles."""
    if context.tomograms is None or not context.is_particles or context.program is Program.RELION31:
        return {}
    known = {key for name in context.tomograms.names for key in _matches(context.program, name)}
    counts = Counter(_compared(context.program, name) for name in context.names)
    return {name: count for name, count in counts.items() if name not in known}


def _matches(program: Program, name: str) -> tuple[str, ...]:
    """Return the names by which a program would find a tomogram of tomograms.star."""
    stem = name.removesuffix(".tomostar")
    if program is Program.WARP:
        return (f"{stem}.tomostar",)
    return (stem, f"{stem}.tomostar") if program is Program.M else (name,)


def _compared(program: Program, name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1] if program is Program.M else name


def _listed(names: list[str], most: int = 3) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _tomograms(context: Context) -> str:
    assert context.tomograms is not None
    return context.tomograms.path.name


@rule(
    "name-with-space",
    "A tomogram name has a blank in it.",
    {
        **for_all(
            (Program.RELION5, Program.RELION4),
            error("stops: names of tomograms become names of files and blocks", "measured with RELION 5.0.1"),
        ),
        **for_all(
            (Program.WARP, Program.M),
            wrong("parts the cell at the blank, and the table ends there", "Warp WarpLib/Star.cs, constructor"),
        ),
    },
)
def _name_with_space(context: Context) -> Iterator[Hit]:
    if not context.is_particles:
        return
    for column in (NAME, MICROGRAPH):
        bad = next((row for row, name in enumerate(context.text(column), start=1) if len(name.split()) != 1), None)
        if bad is not None:
            name = context.text(column)[bad - 1]
            yield Hit(
                f"the name '{name}' has a blank in it or is empty",
                "rename the tomogram without blanks, in tomograms.star too",
                block=context.block,
                column=column,
                row=bad,
            )


@rule(
    "numeric-names",
    "A tomogram name is a number that changes when it is read as one, such as 001.",
    for_all(
        (Program.RELION5, Program.RELION4, Program.WARP, Program.M),
        note(
            "keeps it as text; programs in Python that use starfile read 1 for 001 and write that back",
            "starfile 0.5.13; measured",
        ),
    ),
)
def _numeric_names(context: Context) -> Iterator[Hit]:
    for name in dict.fromkeys(context.names if context.is_particles else []):
        if _is_number(name) and str(_guess(name)) != name:
            yield Hit(
                f"the tomogram name '{name}' is a number",
                "nothing to mend for this program; begin names with a letter, such as TS_001, in new projects",
                block=context.block,
                column=context.name_column,
                row=1 + context.names.index(name),
            )
            return


@rule(
    "first-name-numeric",
    "The first tomogram name is a number.",
    {
        Program.SCIPION: error(
            "takes the column for numbers: it stops at the first name that is none, and 001 matches no tomogram",
            "emtable 0.0.14; measured",
        )
    },
)
def _first_name_numeric(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.names and _is_number(context.names[0]):
        yield Hit(
            f"the first tomogram name is '{context.names[0]}'",
            mend.export(context),
            block=context.block,
            column=context.name_column,
            row=1,
        )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _guess(name: str) -> float | int:
    try:
        return int(name)
    except ValueError:
        return float(name)


RULES = (_no_tomogram_name, _unknown_names, _no_known_name, _name_with_space, _numeric_names, _first_name_numeric)
