"""Rules on what RELION 5 reads: coordinates, optimisation sets, import lists."""

from __future__ import annotations

from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import CENTRED, CORNER, Context, Kind
from cryosiam.integrations.star.check.finding import Hit, Program, error, rule, wrong

_PARTICLES = "RELION src/jaz/tomography/particle_set.cpp"
_IMPORT = "RELION src/jaz/tomography/apps/import_coordinates.cpp"


@rule(
    "no-block-particles",
    {Program.RELION5: error('stops: "there are no particles in" the file', f"{_PARTICLES}:16; measured with 5.0.1")},
)
def no_block_particles(context: Context) -> Iterator[Hit]:
    """The particles are in a block that is not called data_particles."""
    if context.kind is Kind.PARTICLES and context.table is not None and context.layout.block("particles") is None:
        yield Hit(
            f"the particles are in data_{context.block}, not in data_particles",
            mend.export(context),
            block=context.block,
        )


@rule(
    "no-coordinates",
    {
        Program.RELION5: error(
            'stops: "Cannot find particle coordinates (rlnCenteredCoordinateX/Y/ZAngst)"',
            f"{_PARTICLES} getParticleCoordDecenteredPixel",
        )
    },
)
def no_coordinates(context: Context) -> Iterator[Hit]:
    """Neither all three centred coordinates nor all three uncentred ones are there."""
    if (
        context.kind is Kind.PARTICLES
        and context.table is not None
        and not (context.has(*CENTRED) or context.has(*CORNER))
    ):
        missing = [column for column in CENTRED if not context.has(column)]
        yield Hit(
            f"data_{context.block} lacks {', '.join(missing)}",
            mend.export(context),
            block=context.block,
            column=missing[0],
        )


@rule(
    "sizes-missing",
    {
        Program.RELION5: wrong(
            "takes -999 for the size and shifts every particle: 0.47 pixels, measured",
            "RELION src/jaz/tomography/tomogram_set.cpp loadTomogram; measured with 5.0.1",
        ),
        Program.RELION4: error(
            "stops: rlnTomoSizeX is missing", "RELION 4 src/jaz/tomography/tomogram_set.cpp loadTomogram"
        ),
    },
)
def sizes_missing(context: Context) -> Iterator[Hit]:
    """The tomograms.star that goes with the particles has no rlnTomoSizeX/Y/Z."""
    if context.tomograms is not None and not context.tomograms.has_sizes:
        yield Hit(
            f"{context.tomograms.path.name} has no rlnTomoSizeX/Y/Z",
            "name the tomograms.star of RELION's Reconstruct Tomograms job, not a tilt_series.star",
            block="global",
            column="rlnTomoSizeX",
        )


RULES = (no_block_particles, no_coordinates, sizes_missing)
