"""Rules on what RELION 5 reads: coordinates, sizes, names of particles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import Hit, Program, error, note, rule, wrong
from cryosiam.integrations.star.check.words import CENTRED, CORNER, NAME

_PARTICLES = "RELION src/jaz/tomography/particle_set.cpp"
_IMPORT = "RELION src/jaz/tomography/apps/import_coordinates.cpp"
_CENTRE = f"{_PARTICLES} getParticleCoordDecenteredPixel"
PYTOM = ("rlnLCCmax", "rlnCutOff", "rlnSearchStd")
"""Columns that pytom-match-pick alone writes."""


@rule(
    "no-block-particles",
    "The particles are in a block that is not called data_particles.",
    {
        Program.RELION5: error(
            'stops: "there are no particles in" the file; only an import job takes such a block',
            f"{_PARTICLES}:16; measured with 5.0.1",
        )
    },
)
def _no_block(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.layout.block("particles") is None:
        yield Hit(
            f"the particles are in data_{context.block}, not in data_particles",
            mend.export(context),
            block=context.block,
        )


@rule(
    "no-coordinates",
    "Neither all three centred coordinates nor all three from the corner are there.",
    {Program.RELION5: error('stops: "Cannot find particle coordinates (rlnCenteredCoordinateX/Y/ZAngst)"', _CENTRE)},
)
def _no_coordinates(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has(*CENTRED) and not context.has(*CORNER):
        columns = CENTRED if context.has_any(*CENTRED) else CORNER
        missing = [column for column in columns if not context.has(column)]
        yield Hit(
            f"data_{context.block} lacks {', '.join(missing)}",
            mend.export(context),
            block=context.block,
            column=missing[0],
        )


@rule(
    "corner-coordinates",
    "There are coordinates from the corner (rlnCoordinate*) and no centred ones.",
    {
        Program.RELION5: note(
            "takes them for unbinned pixels of the tilt series, counted from 0; no job rescales a STAR file by the "
            "tomogram's binning",
            f"{_CENTRE}; measured with 5.0.1; 3dem/relion issues 1059, 1334",
        )
    },
)
def _corner(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*CORNER) and not context.has(*CENTRED):
        yield Hit(
            "coordinates are rlnCoordinateX/Y/Z",
            "nothing to mend if they are unbinned pixels; else " + mend.multiplied(context, CORNER, "BINNING"),
            block=context.block,
            column=CORNER[0],
        )


@rule(
    "two-coordinates",
    "Centred coordinates and those from the corner say different places.",
    {
        Program.RELION5: wrong(
            "uses the centred ones, ignores the others, and leaves those out of what it writes",
            f"{_CENTRE}, write; measured with 5.0.1",
        )
    },
)
def _two_coordinates(context: Context) -> Iterator[Hit]:
    if not context.is_particles or context.tomograms is None or not context.has(*CENTRED, *CORNER):
        return
    gaps = np.abs(context.places.centred - context.places.corner).max(axis=1)
    far = np.flatnonzero(gaps > context.places.pixel_sizes)
    if len(far):
        row = int(far[0])
        yield Hit(
            f"rlnCenteredCoordinate* and rlnCoordinate* are {gaps[row]:.1f} Å apart in row {row + 1}, and more than a "
            f"pixel in {len(far)} rows",
            "find out which of the two is right and remove the others",
            block=context.block,
            column=CENTRED[0],
            row=row + 1,
        )


@rule(
    "sizes-missing",
    "The tomograms.star that goes with the particles has no rlnTomoSizeX/Y/Z.",
    {
        Program.RELION5: wrong(
            "takes -999 for the size and shifts every particle, by 0.47 pixels where that was measured",
            "RELION src/jaz/tomography/tomogram_set.cpp loadTomogram; measured with 5.0.1",
        ),
        Program.RELION4: error(
            "stops: rlnTomoSizeX is missing", "RELION 4 src/jaz/tomography/tomogram_set.cpp loadTomogram"
        ),
    },
)
def _sizes(context: Context) -> Iterator[Hit]:
    if context.tomograms is not None and not context.tomograms.has_sizes:
        yield Hit(
            f"{context.tomograms.path.name} has no rlnTomoSizeX/Y/Z",
            "name the tomograms.star of RELION's Reconstruct Tomograms job, not a tilt_series.star",
            block="global",
            column="rlnTomoSizeX",
        )


@rule(
    "odd-size",
    "The unbinned tomogram has an odd size.",
    {
        Program.RELION5: note(
            "measures coordinates from N / 2 and projects about the pixel N // 2; a series aligned for another "
            "program may lie half a pixel off",
            "RELION src/jaz/tomography/tomogram_set.cpp, tomogram.cpp:44; measured with 5.0.1; 3dem/relion pull 1353",
        )
    },
)
def _odd(context: Context) -> Iterator[Hit]:
    if not context.is_particles or context.tomograms is None:
        return
    for row in context.tomograms.rows:
        if row.unbinned_size_xyz is not None and any(size % 2 for size in row.unbinned_size_xyz):
            size = " x ".join(f"{size:g}" for size in row.unbinned_size_xyz)
            yield Hit(
                f"tomogram '{row.name}' is {size} pixels",
                "nothing to mend in the particles; reconstruct tomograms of even size",
                block="global",
                column="rlnTomoSizeX",
            )
            return


@rule(
    "picker-of-one-pixel",
    "The file was written by pytom-match-pick, whose centre is N/2 - 1.",
    {
        Program.RELION5: wrong(
            "measures from N/2, so that every particle lies one unbinned pixel too far along x, y and z; RELION's own "
            "picker in Python has the same fault",
            "pytom-match-pick at 27f5d68, issues 250, 251; measured with RELION 5.0.1: +2.500 Å at 2.5 Å",
        )
    },
)
def _one_pixel(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*CENTRED, *PYTOM):
        pixel = context.pixel_size_angstrom
        step = f"-{pixel:g}" if pixel is not None else "-PIXEL_SIZE"
        yield Hit(
            f"the columns {', '.join(PYTOM)} are those of pytom-match-pick",
            mend.shifted(context, CENTRED, step),
            block=context.block,
            column=CENTRED[0],
        )


@rule(
    "no-particle-names",
    "There is no rlnTomoParticleName.",
    {
        Program.RELION5: note(
            "adds <tomogram>/<n>, counted from 1 in every tomogram, in the order of the rows",
            f"{_PARTICLES} read; measured with 5.0.1",
        )
    },
)
def _no_particle_names(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has("rlnTomoParticleName"):
        yield Hit(
            f"data_{context.block} has no rlnTomoParticleName",
            "nothing to mend, unless other files refer to the particles by name",
            block=context.block,
        )


@rule(
    "particle-name-twice",
    "Two particles have the same rlnTomoParticleName.",
    {
        Program.RELION5: wrong(
            "names image files after the particle: the second overwrites the first",
            "RELION src/jaz/tomography/apps/subtomo.cpp; measured with 5.0.1: file paths come from the name",
        )
    },
)
def _name_twice(context: Context) -> Iterator[Hit]:
    names = context.text("rlnTomoParticleName") if context.is_particles else []
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield Hit(
            f"'{twice[0]}' names more than one particle, as do {len(twice)} names in all",
            mend.export(context),
            block=context.block,
            column="rlnTomoParticleName",
            row=1 + names.index(twice[0]),
        )


@rule(
    "optics-first",
    "data_optics or data_general stands before the particles.",
    {
        Program.RELION5: note(
            "takes the file as an input of subtomogram jobs; an import job would read the first block, and take rows "
            "of optics for particles without a word",
            f"{_IMPORT} readCoordinateFile; measured with 5.0.1",
        )
    },
)
def _optics_first(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.layout.blocks[0].name in ("optics", "general"):
        yield Hit(
            f"the first block is data_{context.layout.blocks[0].name}",
            f"nothing to mend for subtomogram jobs; to import: {mend.export(context, 'relion5-import')}",
            block=context.layout.blocks[0].name,
        )


@rule(
    "import-wildcard",
    "The file has no rlnTomoName, so that only an import job could take it.",
    {
        Program.RELION5: error(
            "hangs for ever where a wildcard names such files, unless both --remove_substring options are given; a "
            "wildcard that names a single file fails too",
            f"{_IMPORT}; measured with 5.0.1; 3dem/relion issues 1229, 1287",
        )
    },
)
def _wildcard(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has(NAME):
        yield Hit(
            f"data_{context.block} has no {NAME}",
            mend.export(context, "relion5-import"),
            block=context.block,
            column=NAME,
        )


RULES = (
    _no_block,
    _no_coordinates,
    _corner,
    _two_coordinates,
    _sizes,
    _odd,
    _one_pixel,
    _no_particle_names,
    _name_twice,
    _optics_first,
    _wildcard,
)
