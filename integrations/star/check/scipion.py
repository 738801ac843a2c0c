"""Rules on what Scipion's import of coordinates reads (scipion-em-reliontomo)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import Hit, Program, error, note, rule, wrong
from cryosiam.integrations.star.check.words import ANGLES, CENTRED, CORNER, MICROGRAPH, SUBTOMOGRAM_ANGLES

_BASE = "reliontomo 4.0.5 protocols/protocol_base_import_from_star.py"
_READERS = "reliontomo 4.0.5 convert/__init__.py createReaderTomo"
_ID = "rlnTomoParticleId"


@rule(
    "all-at-zero",
    "Coordinates from the corner (rlnCoordinateX/Y/Z) are not there.",
    {
        Program.SCIPION: wrong(
            "takes 0 for a coordinate whose column is missing, without a word",
            "reliontomo 4.0.5 convert/convert50_tomo.py gen3dCoordFromStarRow; measured",
        )
    },
)
def _zero(context: Context) -> Iterator[Hit]:
    missing = [column for column in CORNER if not context.has(column)]
    if context.is_particles and missing:
        centred = context.has_any(*CENTRED)
        yield Hit(
            "coordinates are rlnCenteredCoordinate*Angst"
            if centred
            else f"data_{context.block} lacks {', '.join(missing)}",
            mend.export(context),
            block=context.block,
            column=CENTRED[0] if centred else missing[0],
        )


@rule(
    "no-particle-id",
    "The first block has no rlnTomoParticleId.",
    {
        Program.SCIPION: error(
            'set up for RELION 4 refuses the file: "is in Relion 5 format"; set up for RELION 5 it has no such import',
            f"{_BASE} checkIfRe5PickedCoords, isDisabled",
        )
    },
)
def _no_id(context: Context) -> Iterator[Hit]:
    if context.is_particles:
        first = context.layout.blocks[0]
        if _ID not in first.columns and "psSegImage" not in first.columns:
            yield Hit(f"data_{first.name}, the first block, has no {_ID}", mend.export(context), block=first.name)


@rule(
    "micrograph-name",
    "There is a column rlnMicrographName.",
    {
        Program.SCIPION: wrong(
            "takes the file for one of PySeg or RELION 3, finds tomograms by their file name, and not by tsId",
            _READERS,
        )
    },
)
def _micrograph(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(MICROGRAPH):
        yield Hit(
            f"data_{context.block} has {MICROGRAPH}", mend.export(context), block=context.block, column=MICROGRAPH
        )


@rule(
    "sampling-rate",
    "The coordinates are in pixels of a size that Scipion has to be told.",
    {
        Program.SCIPION: note(
            "takes the coordinates for voxels of its tomograms, unless rlnDetectorPixelSize or the field 'Coordinates "
            "sampling rate' says otherwise",
            f"{_BASE} getCoordsSRate",
        )
    },
)
def _rate(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.has(*CORNER) and not context.has("rlnDetectorPixelSize"):
        size = context.voxel_size_angstrom
        yield Hit(
            "coordinates are rlnCoordinateX/Y/Z without a pixel size",
            "nothing to mend if they are voxels of the tomograms in Scipion; else fill in 'Coordinates sampling rate'"
            + (f": {size:g}" if size else ""),
            block=context.block,
            column=CORNER[0],
        )


@rule(
    "angles-of-the-other-reader",
    "The orientation stands in columns that Scipion's reader of such files does not look at.",
    {
        Program.SCIPION: wrong(
            "reads rlnAngle* where rlnTomoParticleId or rlnMicrographName is there, and rlnTomoSubtomogram* where "
            "neither is: the other rotation is lost",
            f"{_READERS}, convertBase.py getTransformMatrixFromRow, convert50_tomo.py "
            "getCoordsTransformMatrixFromRow; measured",
        )
    },
)
def _angles(context: Context) -> Iterator[Hit]:
    if not context.is_particles:
        return
    lost = SUBTOMOGRAM_ANGLES if context.has_any(_ID, MICROGRAPH) else ANGLES
    if any(np.nan_to_num(context.numbers(column)).any() for column in lost):
        yield Hit(
            f"the particles are turned by {lost[0][:-3]}Rot/Tilt/Psi",
            mend.export(context),
            block=context.block,
            column=lost[0],
        )


RULES = (_zero, _no_id, _micrograph, _rate, _angles)
