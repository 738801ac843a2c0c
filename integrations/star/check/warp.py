"""Rules on what WarpTools ts_export_particles reads."""

from __future__ import annotations

from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import CENTRED, CORNER, Context, Kind
from cryosiam.integrations.star.check.finding import Hit, Program, error, rule, wrong

_EXPORT = "Warp WarpTools/Commands/Tiltseries/ExportParticlesTiltseries.cs"


@rule(
    "no-corner-coordinates",
    {
        Program.WARP: error(
            'stops: "Couldn\'t find rlnCoordinateX column in input STAR file"',
            f"{_EXPORT}, ValidateInputStar; warpem/warp issue 288",
        )
    },
)
def no_corner_coordinates(context: Context) -> Iterator[Hit]:
    """Coordinates from the corner (rlnCoordinateX/Y/Z) are not there."""
    if context.kind is Kind.PARTICLES and context.table is not None and not context.has(*CORNER):
        centred = context.has(*CENTRED)
        yield Hit(
            "coordinates are centred (rlnCenteredCoordinate*Angst)"
            if centred
            else f"data_{context.block} lacks rlnCoordinateX/Y/Z",
            mend.export(context),
            block=context.block,
            column=CENTRED[0] if centred else CORNER[0],
        )


@rule(
    "no-tomostar-ending",
    {
        Program.WARP: wrong(
            "compares names with those of its .tomostar files, ending and all, and leaves out what matches none",
            f"{_EXPORT}, GroupParticles; warpem/warp issues 48, 277, 373",
        )
    },
)
def no_tomostar_ending(context: Context) -> Iterator[Hit]:
    """Names of tilt series do not end in .tomostar, or have a folder before them."""
    names = dict.fromkeys(context.names) if context.kind is Kind.PARTICLES else {}
    bad = [name for name in names if not name.endswith(".tomostar") or "/" in name]
    if bad:
        yield Hit(
            f"'{bad[0]}' is not the name of a .tomostar file"
            + (f", nor are {len(bad) - 1} more" if len(bad) > 1 else ""),
            mend.export(context),
            block=context.block,
            column=context.name_column,
            row=1 + context.names.index(bad[0]),
        )


RULES = (no_corner_coordinates, no_tomostar_ending)
