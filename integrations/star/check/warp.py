"""Rules on what WarpTools ts_export_particles reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import Hit, Program, error, note, rule, wrong
from cryosiam.integrations.star.check.words import CENTRED, CORNER, MICROGRAPH, NAME

_EXPORT = "Warp WarpTools/Commands/Tiltseries/ExportParticlesTiltseries.cs"
_SCORES = ("rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnLCCmax", "cryosiamClassName")


@rule(
    "no-corner-coordinates",
    "Coordinates from the corner (rlnCoordinateX/Y/Z) are not there.",
    {
        Program.WARP: error(
            'stops: "Couldn\'t find rlnCoordinateX column in input STAR file"; it knows no centred ones',
            f"{_EXPORT}, ValidateInputStar; warpem/warp issue 288",
        ),
        Program.M: error(
            "stops: the table must contain rlnCoordinateX and rlnCoordinateY; it knows no centred ones",
            "Warp MTools/Commands/ParticleStarParsing.cs, FromRelionStar",
        ),
    },
)
def _no_coordinates(context: Context) -> Iterator[Hit]:
    wanted = CORNER if context.program is Program.WARP else CORNER[:2]
    if context.is_particles and not context.has(*wanted) and not context.is_native_m:
        centred = context.has_any(*CENTRED)
        missing = [column for column in wanted if not context.has(column)]
        yield Hit(
            "coordinates are rlnCenteredCoordinate*Angst"
            if centred
            else f"data_{context.block} lacks {', '.join(missing)}",
            mend.export(context),
            block=context.block,
            column=CENTRED[0] if centred else missing[0],
        )


@rule(
    "no-tomostar-ending",
    "Names of tilt series are not those of .tomostar files.",
    {
        Program.WARP: wrong(
            "compares names with those of its .tomostar files, ending and all, and leaves out what matches none; where "
            'all match none it stops: "No particles to write out"',
            f"{_EXPORT}, GroupParticles; warpem/warp issues 48, 277, 373, 442",
        )
    },
)
def _no_tomostar(context: Context) -> Iterator[Hit]:
    names = dict.fromkeys(context.names) if context.is_particles else {}
    bad = [name for name in names if not name.endswith(".tomostar") or "/" in name]
    if bad:
        more = f", nor are {len(bad) - 1} more names" if len(bad) > 1 else ""
        yield Hit(
            f"'{bad[0]}' is not the name of a .tomostar file{more}",
            mend.export(context),
            block=context.block,
            column=context.name_column,
            row=1 + context.names.index(bad[0]),
        )


@rule(
    "two-names",
    "rlnMicrographName and rlnTomoName say different names.",
    {
        program: note("uses rlnMicrographName and does not look at rlnTomoName", f"{_EXPORT}, Run")
        for program in (Program.WARP, Program.M)
    },
)
def _two_names(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(MICROGRAPH, NAME):
        pairs = zip(context.text(MICROGRAPH), context.text(NAME), strict=True)
        row = next((row for row, (first, second) in enumerate(pairs, start=1) if first != second), None)
        if row is not None:
            yield Hit(
                f"rlnMicrographName is '{context.text(MICROGRAPH)[row - 1]}' and rlnTomoName "
                f"'{context.text(NAME)[row - 1]}'",
                "nothing to mend if rlnMicrographName is the name of the tilt series",
                block=context.block,
                column=MICROGRAPH,
                row=row,
            )


@rule(
    "optics-without-particles",
    "There is a data_optics, and no data_particles.",
    {
        program: error(
            'stops: "Table data_particles not found"', "Warp WarpLib/Star.cs, constructor, LoadRelion3Particles"
        )
        for program in (Program.WARP, Program.M)
    },
)
def _optics_without_particles(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.joins_optics and context.layout.block("particles") is None:
        yield Hit(
            f"the particles are in data_{context.block}, and there is a data_optics",
            mend.export(context),
            block=context.block,
        )


@rule(
    "first-table",
    "The first table of the file is not that of the particles.",
    {
        Program.WARP: note(
            "finds the particles when it is given --input_star; with --input_directory it reads the first table of "
            "each file",
            f"{_EXPORT}, Run",
        )
    },
)
def _first_table(context: Context) -> Iterator[Hit]:
    first = next((block for block in context.layout.blocks if block.is_loop), None)
    if context.is_particles and context.joins_optics and first is not None and first.name != context.block:
        yield Hit(
            f"the first table is data_{first.name}",
            f"nothing to mend with --input_star; for --input_directory: {mend.export(context)}",
            block=first.name,
        )


@rule(
    "particles-behind-another-table",
    "There is no data_optics, and the first table is not that of the particles.",
    {
        program: error("reads the first table of the file", "Warp WarpLib/Star.cs, LoadRelion3Particles")
        for program in (Program.WARP, Program.M)
    },
)
def _behind(context: Context) -> Iterator[Hit]:
    first = next((block for block in context.layout.blocks if block.is_loop), None)
    if context.is_particles and not context.joins_optics and first is not None and first.name != context.block:
        yield Hit(
            f"the first table is data_{first.name}, not data_{context.block}", mend.export(context), block=first.name
        )


@rule(
    "normalised-coordinates",
    "All coordinates are between 0 and 1, as Warp's own template matching writes them.",
    {
        Program.WARP: wrong(
            "puts all particles into the first voxel with --coords_angpix; with --normalized_coords it multiplies by "
            "the size less one pixel, though matching divided by the size",
            f"{_EXPORT}, Run; Warp TiltSeries.MatchFull.cs:1240",
        )
    },
)
def _normalised(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*CORNER):
        values = np.column_stack([context.numbers(column) for column in CORNER])
        if context.count > 1 and (values >= 0).all() and (values <= 1).all() and (values % 1 != 0).any():
            yield Hit(
                "all coordinates are between 0 and 1",
                "pass --normalized_coords instead of --coords_angpix",
                block=context.block,
                column=CORNER[0],
            )


@rule(
    "coords-angpix",
    "The file states a pixel size of its coordinates.",
    {
        Program.WARP: note(
            "does not read it for coordinates: it multiplies them by what --coords_angpix says", f"{_EXPORT}, Run"
        )
    },
)
def _coords_angpix(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*CORNER):
        sizes = context.stated_pixel_sizes
        if len(sizes) == 1:
            column, size = sizes[0]
            yield Hit(
                f"{column} is {size:g}",
                f"pass --coords_angpix {size:g} if Warp wrote the file, else the voxel size of the tomogram picked",
                block=context.block,
                column=column,
            )


@rule(
    "scores-and-classes",
    "There are scores or classes.",
    {
        Program.WARP: note(
            "carries them into its output since its commit of 13 April 2026 only, and drops them before",
            "Warp commit 25c0d32",
        )
    },
)
def _others(context: Context) -> Iterator[Hit]:
    others = [column for column in _SCORES if context.is_particles and context.has(column)]
    if others:
        yield Hit(
            f"{' and '.join(others)} {'is' if len(others) == 1 else 'are'} not used by Warp",
            "keep the file, and join the columns again by the order of rows where Warp is older",
            block=context.block,
            column=others[0],
        )


RULES = (
    _no_coordinates,
    _no_tomostar,
    _two_names,
    _optics_without_particles,
    _first_table,
    _behind,
    _normalised,
    _coords_angpix,
    _others,
)
