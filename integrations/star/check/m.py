"""Rules on what M reads: ``MTools create_species --particles_relion``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check.context import Context, numbers_of
from cryosiam.integrations.star.check.finding import Hit, Program, note, rule, wrong
from cryosiam.integrations.star.check.words import CORNER, ORIGINS, PIXEL_SIZE

_PARSING = "Warp MTools/Commands/ParticleStarParsing.cs, FromRelionStar"
_IMAGE = "rlnImagePixelSize"


def _is_relion_table(context: Context) -> bool:
    return context.is_particles and not context.is_native_m


@rule(
    "native-m",
    "The table is one of M itself (wrpCoordinateX1 ...).",
    {
        Program.M: note(
            "reads it with --particles_m, not with --particles_relion", "Warp MTools/Commands/CreateSpecies.cs"
        )
    },
)
def _native(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.is_native_m:
        yield Hit("the columns are M's own", "pass it as --particles_m", block=context.block)


@rule(
    "no-pixel-size",
    "Nothing says how large a pixel of the coordinates is.",
    {Program.M: note('stops unless it is told: "Couldn\'t determine pixel size for particle coordinates"', _PARSING)},
)
def _no_pixel_size(context: Context) -> Iterator[Hit]:
    if _is_relion_table(context) and context.has(*CORNER[:2]) and context.pixel_size_of_m is None:
        size = context.voxel_size_angstrom
        yield Hit(
            "there is no rlnImagePixelSize, nor rlnDetectorPixelSize with rlnMagnification",
            f"pass --angpix_coords {size:g}" if size else "pass --angpix_coords with the voxel size of the tomogram",
            block=context.block,
        )


@rule(
    "no-shift-pixel-size",
    "Nothing says whether shifts are in pixels or Å.",
    {Program.M: note('stops unless it is told: "Couldn\'t determine pixel size for particle shifts"', _PARSING)},
)
def _no_shift_size(context: Context) -> Iterator[Hit]:
    known = context.joins_optics or context.has(ORIGINS[0]) or context.has("rlnDetectorPixelSize", "rlnMagnification")
    if _is_relion_table(context) and context.has(*CORNER[:2]) and not known:
        yield Hit(
            "there is no data_optics, no rlnOriginXAngst, and no rlnDetectorPixelSize with rlnMagnification",
            "pass --angpix_shifts 1",
            block=context.block,
        )


@rule(
    "unbinned-coordinates",
    "The image pixel size is that of binned images, the coordinates are in pixels of the tilt series.",
    {
        Program.M: wrong(
            "multiplies rlnCoordinate* by rlnImagePixelSize, and puts every particle too far out by the binning",
            f"{_PARSING}: AngPixCoords is rlnImagePixelSize; rlnCoordinate* of RELION 4 and 5 are unbinned pixels",
        )
    },
)
def _unbinned(context: Context) -> Iterator[Hit]:
    series, image = numbers_of(context.optics, PIXEL_SIZE), numbers_of(context.optics, _IMAGE)
    if not _is_relion_table(context) or not context.has(*CORNER[:2]) or not len(series) or not len(image):
        return
    if abs(series[0] - image[0]) > 1e-3:
        yield Hit(
            f"rlnImagePixelSize is {image[0]:g} and rlnTomoTiltSeriesPixelSize {series[0]:g}",
            f"pass --angpix_coords {series[0]:g}",
            block="optics",
            column=_IMAGE,
            row=1,
        )


@rule(
    "mixed-pixel-sizes",
    "Particles have different pixel sizes.",
    {Program.M: wrong("takes the pixel size of the first particle for all", _PARSING)},
)
def _mixed(context: Context) -> Iterator[Hit]:
    if not _is_relion_table(context):
        return
    for block, column in ((context.optics, _IMAGE), (context.table, _IMAGE), (context.table, "rlnDetectorPixelSize")):
        sizes = numbers_of(block, column)
        if len(sizes) and block is not None and np.ptp(sizes) > 1e-4:
            yield Hit(
                f"{column} goes from {sizes.min():g} to {sizes.max():g}",
                "make one species of particles of each pixel size, or write one pixel size for all",
                block=block.name,
                column=column,
            )
            return


@rule(
    "no-z",
    "There is no rlnCoordinateZ.",
    {Program.M: wrong("takes the particles for those of flat images, at z 0", _PARSING)},
)
def _no_z(context: Context) -> Iterator[Hit]:
    if _is_relion_table(context) and context.has(*CORNER[:2]) and not context.has(CORNER[2]):
        yield Hit(f"data_{context.block} has no rlnCoordinateZ", "write the z coordinate", block=context.block)


@rule(
    "no-half-sets",
    "There is no rlnRandomSubset.",
    {
        Program.M: note(
            "puts particles into the halves by turns; poses refined together without halves make the resolution look "
            "better than it is",
            _PARSING,
        )
    },
)
def _no_halves(context: Context) -> Iterator[Hit]:
    if _is_relion_table(context) and not context.has_any("rlnRandomSubset", "wrpRandomSubset"):
        yield Hit(
            f"data_{context.block} has no rlnRandomSubset",
            "refine in RELION with two halves, and give M that table",
            block=context.block,
            column="rlnRandomSubset",
        )


RULES = (_native, _no_pixel_size, _no_shift_size, _unbinned, _mixed, _no_z, _no_halves)
