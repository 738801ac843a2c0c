"""Rules on names of tomograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import MICROGRAPH, NAME, Context, Kind
from cryosiam.integrations.star.check.finding import Hit, Program, error, for_all, note, rule, wrong

_SPLIT = "RELION src/jaz/tomography/particle_set.cpp splitByTomogram; measured with 5.0.1"
_IMPORT4 = "RELION 4 src/jaz/tomography/apps/import_particles.cpp"
_WARP_EXPORT = "Warp ExportParticlesTiltseries.cs, GroupParticles"
_M_NAMES = "Warp MTools/Commands/ParticleStarParsing.cs, FromRelionStar"
_SCIPION = "reliontomo protocol_base_import_from_star.py"


def _is_particles(context: Context) -> bool:
    return context.kind is Kind.PARTICLES and context.table is not None and len(context.table) > 0


@rule(
    "no-tomogram-name",
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
def no_tomogram_name(context: Context) -> Iterator[Hit]:
    """The particles do not say which tomogram they are from."""
    if _is_particles(context) and context.name_column is None and not context.has("wrpSourceName"):
        columns = f"{NAME} or {MICROGRAPH}" if context.program in (Program.WARP, Program.M, Program.SCIPION) else NAME
        yield Hit(f"data_{context.block} has no {columns}", mend.export(context), block=context.block)


@rule(
    "unknown-names",
    {
        Program.RELION5: wrong("drops those particles with no more than a warning", _SPLIT),
        Program.RELION4: error('stops at the import: "No tomogram named ... found"', _IMPORT4),
        Program.WARP: wrong("leaves those particles out without a word", _WARP_EXPORT),
        Program.M: error("stops for particles that match no data source, unless --ignore_unmatched", _M_NAMES),
        Program.SCIPION: wrong("drops those particles with a line in the log", _SCIPION),
    },
)
def unknown_names(context: Context) -> Iterator[Hit]:
    """Some tomogram names of the particles are not in tomograms.star."""
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
def no_known_name(context: Context) -> Iterator[Hit]:
    """No tomogram name of the particles is in tomograms.star."""
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
    if context.tomograms is None or not _is_particles(context) or context.program is Program.RELION31:
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
def name_with_space(context: Context) -> Iterator[Hit]:
    """A tomogram name has a blank in it."""
    if not _is_particles(context):
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
    {
        **for_all(
            (Program.RELION5, Program.RELION4, Program.WARP, Program.M),
            note(
                "keeps it as text; Python programs that use starfile read 1 for it, and write that back",
                "starfile 0.5.13; measured",
            ),
        ),
        Program.SCIPION: wrong(
            "reads it as a number, so that it matches no tomogram, and drops the particles",
            "emtable 0.0.14 metadata.py, _guessType",
        ),
    },
)
def numeric_names(context: Context) -> Iterator[Hit]:
    """All tomogram names are numbers, such as 001."""
    names = list(dict.fromkeys(context.names)) if _is_particles(context) else []
    if names and all(_is_number(name) for name in names):
        changed = next((name for name in names if str(_guess(name)) != name), names[0])
        yield Hit(
            f"the tomogram name '{changed}' is a number",
            "nothing to mend for this program; name tomograms with a letter, such as TS_001, in new projects",
            block=context.block,
            column=context.name_column,
            row=1 + context.names.index(changed),
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


RULES = (no_tomogram_name, unknown_names, no_known_name, name_with_space, numeric_names)
