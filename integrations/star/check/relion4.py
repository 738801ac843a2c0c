"""Rules on what RELION 4 reads."""

from __future__ import annotations

from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import Hit, Program, error, note, rule, wrong
from cryosiam.integrations.star.check.words import CENTRED, CORNER, NAME

_IMPORT = "RELION 4 src/jaz/tomography/apps/import_particles.cpp"
_POSITION = "RELION src/jaz/tomography/particle_set.cpp getPosition; measured with 4.0.2 and 5.0.1"


@rule(
    "centred-only",
    "Coordinates are centred ones (rlnCenteredCoordinate*Angst) only.",
    {
        Program.RELION4: error(
            'knows no such label and stops: the file "contains neither particle coordinates (rlnCoordinateX/Y/Z)"',
            _IMPORT,
        )
    },
)
def _centred_only(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has(*CORNER):
        centred = context.has_any(*CENTRED)
        yield Hit(
            "coordinates are rlnCenteredCoordinate*Angst" if centred else f"data_{context.block} lacks rlnCoordinate*",
            mend.export(context),
            block=context.block,
            column=CENTRED[0] if centred else CORNER[0],
        )


@rule(
    "first-block-not-particles",
    "The first block of the file is not that of the particles.",
    {
        Program.RELION4: note(
            "takes the file as particles; its import of coordinates would read the first block, and stop because that "
            "has no rlnTomoName",
            _IMPORT,
        )
    },
)
def _first_block(context: Context) -> Iterator[Hit]:
    first = context.layout.blocks[0] if context.is_particles else None
    if first is not None and NAME not in first.columns and context.has(NAME):
        yield Hit(
            f"the first block is data_{first.name}",
            f"nothing to mend where RELION 4 made the file; to import: {mend.export(context)}",
            block=first.name,
        )


@rule(
    "tomograms-of-relion5",
    "The tomograms.star is one of RELION 5.",
    {
        Program.RELION4: error(
            "does not find the tilt series in it: it wants them as blocks of the same file",
            "RELION 4 src/jaz/tomography/tomogram_set.cpp, constructor",
        )
    },
)
def _tomograms5(context: Context) -> Iterator[Hit]:
    if context.tomograms is not None and "rlnTomoTiltSeriesStarFile" in context.tomograms.columns:
        yield Hit(
            f"{context.tomograms.path.name} names a STAR file for every tilt series, as RELION 5 does",
            "give the tomograms.star that RELION 4 imported",
            block="global",
            column="rlnTomoTiltSeriesStarFile",
        )


@rule(
    "tomograms-of-relion4",
    "The tomograms.star is one of RELION 4.",
    {
        Program.RELION5: note(
            "takes rlnCoordinate* as they are, where RELION 4 adds 1: the same numbers lie one pixel lower along x, y "
            "and z than where RELION 4 puts them",
            _POSITION,
        )
    },
)
def _tomograms4(context: Context) -> Iterator[Hit]:
    if context.tomograms is not None and context.tomograms.is_relion4:
        yield Hit(
            f"{context.tomograms.path.name} is one of RELION 4",
            "nothing to mend for picks made on tomograms that RELION 5 reconstructed; for those of RELION 4 add 1: "
            + mend.shifted(context, CORNER, "1"),
            block="global",
        )


@rule(
    "dummy-tilt-series",
    "The tomograms.star names a dummy tilt series, as Warp writes it.",
    {
        **dict.fromkeys(
            (Program.RELION5, Program.RELION4),
            wrong(
                "can refine the particles that Warp cut out; cut out anew by RELION they are black",
                "Warp ExportParticlesTiltseries.cs, WriteDummyTiltSeries; warpem/warp issues 378, 415; "
                "3dem/relion issue 1333",
            ),
        )
    },
)
def _dummy(context: Context) -> Iterator[Hit]:
    if context.tomograms is not None and context.tomograms.has_dummy_series:
        yield Hit(
            f"{context.tomograms.path.name} names dummy tilt series",
            "export the particles from Warp again, at another --output_angpix or --box, where you need others",
            block="global",
            column="rlnTomoTiltSeriesName",
        )


RULES = (_centred_only, _first_block, _tomograms5, _tomograms4, _dummy)
