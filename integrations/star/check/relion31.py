"""Rules on what RELION 3.1 reads: coordinates for extraction, and tables of subtomograms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import Hit, Program, error, note, rule, wrong
from cryosiam.integrations.star.check.words import CENTRED, CORNER, MICROGRAPH, NAME

_EXTRACT = "RELION 3.1 src/preprocessing.cpp; measured with relion_preprocess 3.1.3"
_IMAGES = ("rlnImageName",)


@rule(
    "no-voxel-coordinates",
    "Coordinates from the corner (rlnCoordinateX/Y/Z) are not there.",
    {Program.RELION31: error("finds no coordinates: it knows no centred ones", _EXTRACT)},
)
def _no_coordinates(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has(*CORNER) and not context.has(*_IMAGES):
        missing = [column for column in CORNER if not context.has(column)]
        yield Hit(
            "coordinates are rlnCenteredCoordinate*Angst"
            if context.has_any(*CENTRED)
            else f"data_{context.block} lacks {', '.join(missing)}",
            mend.export(context),
            block=context.block,
            column=missing[0],
        )


@rule(
    "decimals-cut",
    "Coordinates have decimals.",
    {
        Program.RELION31: wrong(
            "cuts the decimals off and extracts up to a voxel away; only rlnOrigin*Angst can hold the rest",
            f"{_EXTRACT}: coordinate + 0.9 gives the same box",
        )
    },
)
def _decimals(context: Context) -> Iterator[Hit]:
    if not context.is_particles or not context.has(*CORNER) or context.has(*_IMAGES):
        return
    values = np.column_stack([context.numbers(column) for column in CORNER])
    cut = values - np.trunc(values)
    rows = np.flatnonzero((np.abs(cut) > 1e-6).any(axis=1))
    if len(rows):
        mean = float(np.nanmean(np.linalg.norm(cut, axis=1)))
        row = int(rows[0])
        yield Hit(
            f"{len(rows)} of {context.count} particles have decimals, {mean:.2f} voxels on average",
            mend.export(context),
            block=context.block,
            column=CORNER[int(np.flatnonzero(np.abs(cut[row]) > 1e-6)[0])],
            row=row + 1,
        )


@rule(
    "no-image-pixel-size",
    "The optics of subtomograms have no rlnImagePixelSize.",
    {
        Program.RELION31: error(
            'stops with a message that leads astray: the table "does not contain label rlnClassNumber"',
            "measured with RELION 3.1.3",
        )
    },
)
def _no_image_pixel_size(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has_optics and "rlnImagePixelSize" not in (context.optics or ()):
        yield Hit(
            "data_optics has no rlnImagePixelSize",
            mend.export(context),
            block="optics",
            column="rlnImagePixelSize",
        )


@rule(
    "coordinates-behind-optics",
    "Coordinates for extraction are not in the first block.",
    {
        Program.RELION31: wrong(
            "takes the rows of the first block for particles, and cuts them out at 0, 0, 0 without a word", _EXTRACT
        )
    },
)
def _first_block(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has(*_IMAGES) and context.has(*CORNER):
        first = context.layout.blocks[0]
        if not set(CORNER) <= set(first.columns):
            yield Hit(f"the first block is data_{first.name}", mend.export(context), block=first.name)


@rule(
    "many-tomograms-in-one",
    "A file of coordinates for extraction has particles of several tomograms.",
    {
        Program.RELION31: wrong(
            "takes one file of coordinates for each tomogram and does not look at names in it: all are cut out of one",
            _EXTRACT,
        )
    },
)
def _many(context: Context) -> Iterator[Hit]:
    if not context.is_particles or context.has(*_IMAGES) or not context.has(*CORNER):
        return
    for column in (MICROGRAPH, NAME):
        names = dict.fromkeys(context.text(column))
        if len(names) > 1:
            yield Hit(
                f"{column} names {len(names)} tomograms", mend.export(context), block=context.block, column=column
            )
            return


@rule(
    "table-of-relion30",
    "The subtomograms are in one table without optics, as RELION 3.0 has it.",
    {
        Program.RELION31: note(
            "converts the table as it reads it; the pixel size comes from rlnDetectorPixelSize and rlnMagnification, "
            "and it looks into the images",
            "measured with relion_convert_star and relion_star_handler 3.1.3",
        )
    },
)
def _relion30(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*_IMAGES) and not context.has_optics:
        yield Hit(
            f"data_{context.block} has images and comes without data_optics",
            mend.command("relion_convert_star", "--i", context.path, "--o", mend.beside(context.path, "31")),
            block=context.block,
        )


@rule(
    "stacks-of-tilt-images",
    "The images are stacks of tilt images, one for each particle (rlnTomoSubTomosAre2DStacks).",
    {
        program: error(
            "does not know such stacks, which came with RELION 5, and cannot average them",
            "RELION 5 src/jaz/tomography/particle_set.cpp read; not in 4.0.2 and 3.1.3",
        )
        for program in (Program.RELION31, Program.RELION4)
    },
)
def _stacks(context: Context) -> Iterator[Hit]:
    general = None if context.star is None else context.star.block("general")
    column = "rlnTomoSubTomosAre2DStacks"
    if context.is_particles and general is not None and column in general and general.text(column)[0] == "1":
        yield Hit(
            f"{column} is 1",
            "extract the particles again, as 3D subtomograms",
            block="general",
            column=column,
        )


@rule(
    "images-behind-another-block",
    "Subtomograms are neither in data_particles nor in the first block.",
    {
        Program.RELION31: error(
            "takes the first block for a table of RELION 3.0, and stops for want of its columns",
            "measured with relion_star_handler 3.1.3",
        )
    },
)
def _behind(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*_IMAGES) and context.layout.block("particles") is None:
        first = context.layout.blocks[0]
        if first.name != context.block:
            yield Hit(f"the first block is data_{first.name}", mend.export(context), block=first.name)


RULES = (_no_coordinates, _decimals, _no_image_pixel_size, _first_block, _many, _relion30, _stacks, _behind)
