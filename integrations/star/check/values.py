"""Rules on cells: what should be numbers and is not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.finding import RELION, Hit, Program, error, for_all, rule, wrong
from cryosiam.integrations.star.check.words import ANGLES, CENTRED, CORNER, ORIGINS, ORIGINS_PIXELS, SUBTOMOGRAM_ANGLES

_SET_VALUE = "RELION src/metadata_table.cpp setValueFromString; measured with 3.1.3"
_PARSE = "Warp ParseFloatColumn, float.Parse"
_SCORES = ("rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnRandomSubset", "rlnOpticsGroup")
_READ_BY_ALL = (*CORNER, *ANGLES, *ORIGINS, *ORIGINS_PIXELS)
_READ_BY = {
    **dict.fromkeys(RELION, (*CENTRED, *_READ_BY_ALL, *SUBTOMOGRAM_ANGLES, *_SCORES)),
    Program.SCIPION: (*_READ_BY_ALL, *SUBTOMOGRAM_ANGLES),
}


def _cells(context: Context, kind: str) -> Iterator[Hit]:
    if not context.is_particles:
        return
    for column in _READ_BY.get(context.program, _READ_BY_ALL):
        values = context.numbers(column)
        cells = context.text(column)
        bad = [row for row in np.flatnonzero(~np.isfinite(values)).tolist() if _kind(cells[row]) == kind]
        if bad:
            yield Hit(
                f"{column} is '{cells[bad[0]]}' in row {bad[0] + 1}"
                + (f" and no number in {len(bad) - 1} more rows" if len(bad) > 1 else ""),
                "leave these particles out, or write numbers for them",
                block=context.block,
                column=column,
                row=bad[0] + 1,
            )


def _kind(cell: str) -> str:
    try:
        float(cell)
    except ValueError:
        return "text"
    return "not finite"


@rule(
    "not-a-number",
    "A cell that should be a number is text, such as <NA>, which starfile writes for a missing value.",
    {
        **for_all(RELION, wrong("reads 0, or the digits that the cell begins with", _SET_VALUE)),
        **for_all((Program.WARP, Program.M), error("stops: the input string was not in a correct format", _PARSE)),
        Program.SCIPION: error("stops: could not convert string to float", "emtable 0.0.14; measured"),
    },
)
def _not_a_number(context: Context) -> Iterator[Hit]:
    yield from _cells(context, "text")


@rule(
    "not-finite",
    "A cell is nan or inf.",
    {
        **for_all(RELION, wrong("reads 0 for it", _SET_VALUE)),
        **for_all(
            (Program.WARP, Program.M), wrong("places the particle nowhere and cuts out nothing sensible", _PARSE)
        ),
        Program.SCIPION: wrong("takes it over as a coordinate", "emtable 0.0.14; measured"),
    },
)
def _not_finite(context: Context) -> Iterator[Hit]:
    yield from _cells(context, "not finite")


@rule(
    "first-row-whole-number",
    "A column has a whole number in its first row and decimals further down.",
    {
        Program.SCIPION: error(
            "takes the type of a column from the first row and stops at the first decimal", "emtable 0.0.14; measured"
        )
    },
)
def _first_row(context: Context) -> Iterator[Hit]:
    if not context.is_particles or context.table is None:
        return
    for column in context.table.columns:
        cells = context.text(column)
        if _is_whole(cells[0]):
            bad = next((row for row, cell in enumerate(cells) if not _is_whole(cell)), None)
            if bad is not None:
                yield Hit(
                    f"{column} is '{cells[0]}' in row 1 and '{cells[bad]}' in row {bad + 1}",
                    mend.export(context),
                    block=context.block,
                    column=column,
                    row=bad + 1,
                )


def _is_whole(cell: str) -> bool:
    try:
        int(cell)
    except ValueError:
        return False
    return True


RULES = (_not_a_number, _not_finite, _first_row)
