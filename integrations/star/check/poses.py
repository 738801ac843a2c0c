"""Rules on angles, shifts, classes, and particles that are there twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context, numbers_of
from cryosiam.integrations.star.check.finding import RELION, Hit, Program, error, for_all, note, rule, wrong
from cryosiam.integrations.star.check.words import (
    ANGLES,
    CENTRED,
    CORNER,
    ORIGINS,
    ORIGINS_PIXELS,
    PIXEL_SIZE,
    SUBTOMOGRAM_ANGLES,
)

_PARTICLES = "RELION src/jaz/tomography/particle_set.cpp"
_WARP = "Warp ExportParticlesTiltseries.cs, GetEulerAngles"
_M = "Warp MTools/Commands/ParticleStarParsing.cs, FromRelionStar"
_TOMO = (Program.RELION5, Program.RELION4)


def _turned(context: Context, columns: tuple[str, ...]) -> bool:
    """Tell whether one of the columns is there and not all zero."""
    return any(np.nan_to_num(context.numbers(column)).any() for column in columns)


@rule(
    "subtomogram-angles",
    "Part of the orientation stands in rlnTomoSubtomogramRot/Tilt/Psi.",
    for_all(
        (Program.WARP, Program.M, Program.RELION31),
        wrong("reads rlnAngleRot/Tilt/Psi only, and so another orientation", f"{_WARP}; {_M}"),
    ),
)
def _subtomogram_angles(context: Context) -> Iterator[Hit]:
    if context.is_particles and _turned(context, SUBTOMOGRAM_ANGLES):
        yield Hit(
            "rlnTomoSubtomogramRot/Tilt/Psi turn the particles",
            mend.export(context),
            block=context.block,
            column=SUBTOMOGRAM_ANGLES[0],
        )


@rule(
    "angles-incomplete",
    "Of rlnAngleRot, rlnAngleTilt and rlnAnglePsi some are missing.",
    {
        **for_all(_TOMO, wrong("ignores tilt and psi where there is no rot", f"{_PARTICLES} getParticleMatrix")),
        Program.WARP: wrong("takes all angles as 0 where one of the three columns is missing", _WARP),
        Program.M: error("stops: the table must contain all three", _M),
    },
)
def _incomplete(context: Context) -> Iterator[Hit]:
    there = [column for column in ANGLES if context.has(column)]
    if not there or len(there) == len(ANGLES):
        return
    if context.program in _TOMO and ANGLES[0] in there:
        return
    missing = [column for column in ANGLES if column not in there]
    yield Hit(
        f"data_{context.block} has {', '.join(there)} without {', '.join(missing)}",
        mend.export(context),
        block=context.block,
        column=missing[0],
    )


@rule(
    "angles-missing",
    "There are no angles.",
    {Program.M: error("stops: the table must contain rlnAngleRot, rlnAngleTilt and rlnAnglePsi", _M)},
)
def _missing(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has_any(*ANGLES, "wrpAngleRot1"):
        yield Hit(
            f"data_{context.block} has no rlnAngleRot/Tilt/Psi",
            "average the particles in RELION first: M refines poses, it does not find them",
            block=context.block,
            column=ANGLES[0],
        )


@rule(
    "some-unturned",
    "Some particles have rot, tilt and psi all 0, others have not.",
    {
        Program.WARP: wrong(
            "leaves the angles of all particles out of its output as soon as one has 0, 0, 0",
            "Warp ExportParticlesTiltseries.cs, Run (rotTiltPsi.All), at a39b779",
        )
    },
)
def _some_unturned(context: Context) -> Iterator[Hit]:
    if not context.is_particles or not context.has(*ANGLES):
        return
    zero = (np.column_stack([context.numbers(column) for column in ANGLES]) == 0).all(axis=1)
    if zero.any() and not zero.all():
        row = int(np.flatnonzero(zero)[0]) + 1
        yield Hit(
            f"{int(zero.sum())} of {len(zero)} particles have angles 0, 0, 0",
            "turn these by something that does not matter: write 0.001 for their rlnAngleRot",
            block=context.block,
            column=ANGLES[0],
            row=row,
        )


@rule(
    "tilt-prior",
    "rlnAngleTilt is 90 with a prior of 90, as RELION's import of six-column text writes it.",
    for_all(
        _TOMO,
        note(
            "turns each particle by rlnTomoSubtomogram* and then by 0, 90, 0: the orientation is not that of the first "
            "three angles alone",
            "RELION src/jaz/tomography/apps/import_coordinates.cpp; measured with 5.0.1",
        ),
    ),
)
def _tilt_prior(context: Context) -> Iterator[Hit]:
    if not context.is_particles or not context.has("rlnAngleTiltPrior", "rlnAngleTilt", *SUBTOMOGRAM_ANGLES):
        return
    if (context.numbers("rlnAngleTilt") == 90).all() and (context.numbers("rlnAngleTiltPrior") == 90).all():
        yield Hit(
            "rlnAngleTilt and rlnAngleTiltPrior are 90 for all particles",
            "nothing to mend if RELION wrote it; hand poses over as a STAR file, not as text with six columns",
            block=context.block,
            column="rlnAngleTiltPrior",
        )


@rule(
    "origins-without-pixel-size",
    "Shifts are in Å (rlnOriginXAngst) and no rlnPixelSize or rlnImagePixelSize says what a pixel is.",
    {
        Program.WARP: error(
            'stops: "shifts in angstroms found without pixel sizes"',
            "Warp ExportParticlesTiltseries.cs, ParseShifts",
        )
    },
)
def _origins(context: Context) -> Iterator[Hit]:
    if not context.is_particles or not context.has_any(*ORIGINS):
        return
    in_optics = context.optics is not None and any(c in context.optics for c in ("rlnPixelSize", "rlnImagePixelSize"))
    axes = [pair for pair in zip(ORIGINS, ORIGINS_PIXELS, strict=True) if context.has(pair[0])]
    if all(context.has(pixels) for _, pixels in axes):
        return
    if not context.has_any("rlnPixelSize", "rlnImagePixelSize") and not in_optics:
        yield Hit(
            "shifts are in Å and there is no rlnPixelSize or rlnImagePixelSize",
            mend.export(context),
            block=context.block,
            column=ORIGINS[0],
        )


@rule(
    "origins-of-other-pixels",
    "Shifts are in Å, and the image pixel size is not that of the coordinates.",
    {
        Program.WARP: wrong(
            "divides shifts by rlnPixelSize or rlnImagePixelSize and multiplies them by --coords_angpix: they come out "
            "too short or too long",
            "Warp ExportParticlesTiltseries.cs, ParseShifts, GetCoordinates",
        )
    },
)
def _origins_of_other_pixels(context: Context) -> Iterator[Hit]:
    if not context.is_particles or not _turned(context, ORIGINS) or context.has_any(*ORIGINS_PIXELS):
        return
    series = numbers_of(context.optics, PIXEL_SIZE)
    image = np.concatenate([context.numbers("rlnPixelSize"), numbers_of(context.optics, "rlnImagePixelSize")])
    if len(series) and len(image) and abs(series[0] - image[0]) > 1e-3:
        yield Hit(
            f"shifts are in Å, a pixel of the images is {image[0]:g} Å and one of the tilt series {series[0]:g} Å",
            mend.export(context),
            block=context.block,
            column=ORIGINS[0],
        )


@rule(
    "origins-ignored",
    "Particles have shifts (rlnOrigin*).",
    {
        Program.RELION4: note(
            "sets the shifts to 0 when it imports coordinates, and keeps them when it reads particles",
            "RELION 4 src/jaz/tomography/apps/import_particles.cpp",
        ),
        Program.RELION5: note(
            "applies rlnOrigin*Angst and ignores rlnOrigin* in pixels", f"{_PARTICLES} getParticleOffset"
        ),
    },
)
def _shifts(context: Context) -> Iterator[Hit]:
    columns = ORIGINS_PIXELS if context.program is Program.RELION5 else (*ORIGINS, *ORIGINS_PIXELS)
    moved = [column for column in columns if _turned(context, (column,))]
    if context.is_particles and moved and not (context.program is Program.RELION5 and context.has_any(*ORIGINS)):
        yield Hit(
            f"{moved[0]} is not 0 for all particles",
            mend.export(context),
            block=context.block,
            column=moved[0],
        )


@rule(
    "classes-overwritten",
    "Classes stand in rlnClassNumber and in no other column.",
    for_all(
        RELION,
        note("overwrites rlnClassNumber when it refines or classifies", "measured with RELION 5.0.1 relion_refine"),
    ),
)
def _classes(context: Context) -> Iterator[Hit]:
    classes = np.unique(context.numbers("rlnClassNumber")) if context.is_particles else np.empty(0)
    if len(classes) > 1 and not context.has("rlnImageName") and not context.has("cryosiamClassName"):
        yield Hit(
            f"{len(classes)} classes stand in rlnClassNumber only",
            "write one file per class, as cryosiam export does, or keep the class in a column of your own",
            block=context.block,
            column="rlnClassNumber",
        )


@rule(
    "particle-twice",
    "The same particle, with the same place and angles, is there more than once.",
    for_all(
        Program,
        wrong(
            "counts the particle twice; with one copy in each half set the resolution looks better than it is",
            "no program removes duplicates by itself; relion_star_handler --remove_duplicates does",
        ),
    ),
)
def _twice(context: Context) -> Iterator[Hit]:
    poses = _poses(context, with_angles=True)
    row, surplus = _repeated(poses)
    if surplus:
        yield Hit(
            f"{surplus} of {context.count} particles are there a second time, the first in row {row}",
            mend.without_duplicates(context),
            block=context.block,
            row=row,
        )


@rule(
    "place-twice",
    "Several particles with different angles stand in the same place.",
    for_all(
        Program,
        note(
            "takes them as they are: right after symmetry expansion, else one particle was found more than once",
            "no program looks at places",
        ),
    ),
)
def _place_twice(context: Context) -> Iterator[Hit]:
    row, surplus = _repeated(_poses(context, with_angles=False))
    if surplus and surplus > _repeated(_poses(context, with_angles=True))[1]:
        yield Hit(
            f"{surplus} of {context.count} particles stand where another one stands, the first in row {row}",
            f"after symmetry expansion nothing; else {mend.without_duplicates(context)}",
            block=context.block,
            row=row,
        )


def _poses(context: Context, with_angles: bool) -> NDArray[np.float64]:
    """Return ``(n, k)`` what tells particles apart: tomogram, coordinates, shifts and, if wanted, angles."""
    columns = CENTRED if context.has(*CENTRED) and context.program is Program.RELION5 else CORNER
    if not context.is_particles or not context.has(*columns):
        return np.empty((0, 1))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(context.names))}
    tomograms = np.array([numbers[name] for name in context.names] or [0] * context.count, dtype=np.float64)
    wanted = (*columns, *ORIGINS, *ORIGINS_PIXELS, *((*ANGLES, *SUBTOMOGRAM_ANGLES) if with_angles else ()))
    return np.column_stack([tomograms, *(context.numbers(column) for column in wanted if context.has(column))])


def _repeated(rows: NDArray[np.float64]) -> tuple[int, int]:
    """Return the first row (from 1) that comes again, and how many rows are there too often."""
    kept = np.flatnonzero(np.isfinite(rows).all(axis=1))
    if not len(kept):
        return 0, 0
    rounded = np.round(rows[kept], 3)
    order = np.lexsort(rounded.T)
    same = (np.diff(rounded[order], axis=0) == 0).all(axis=1)
    if not same.any():
        return 0, 0
    return int(np.minimum(kept[order[:-1]][same], kept[order[1:]][same]).min()) + 1, int(same.sum())


RULES = (
    _subtomogram_angles,
    _incomplete,
    _missing,
    _some_unturned,
    _tilt_prior,
    _origins,
    _origins_of_other_pixels,
    _shifts,
    _classes,
    _twice,
    _place_twice,
)
