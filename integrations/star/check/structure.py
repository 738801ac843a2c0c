"""Rules on the lines of the file: what stops a parser, or silently shortens a table."""

from __future__ import annotations

from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context, Kind
from cryosiam.integrations.star.check.finding import RELION, Hit, Program, error, for_all, rule, wrong
from cryosiam.integrations.star.check.layout import BlockLayout

_READ_STAR = "RELION src/metadata_table.cpp readStar"
_READ_LOOP = "RELION src/metadata_table.cpp readStarLoop; measured with 3.1.3"
_WARP_STAR = "Warp WarpLib/Star.cs, constructor"
_EMTABLE = "emtable 0.0.14 metadata.py, Reader.getRow"


@rule(
    "compressed",
    "The file is packed by gzip.",
    for_all(
        Program,
        error("does not unpack files, so it finds no table in it", "RELION, Warp and emtable open files as text"),
    ),
)
def _compressed(context: Context) -> Iterator[Hit]:
    if context.layout.compressed:
        yield Hit("the file is packed by gzip", mend.command("gunzip", "--keep", context.path))


@rule(
    "windows-line-ends",
    "Lines end in CR LF, as Windows writes them.",
    {
        **for_all(
            (Program.RELION5, Program.RELION4),
            error('stops: "RELION does not support CR+LF as a new line code"', _READ_STAR),
        ),
        Program.RELION31: error(
            "finds no block of that name, takes the file for one of RELION 3.0, and stops for want of columns",
            "measured with relion_star_handler 3.1.3",
        ),
    },
)
def _windows_line_ends(context: Context) -> Iterator[Hit]:
    if context.layout.windows_line is not None:
        unix = mend.beside(context.path, "unix")
        yield Hit(
            f"line {context.layout.windows_line} ends in CR LF",
            f"tr -d '\\r' < {mend.command(context.path)} > {mend.command(unix)}",
        )


def _tables(context: Context) -> list[BlockLayout]:
    return [block for block in context.read_blocks if block.is_loop]


@rule(
    "blank-line-in-table",
    "A blank line stands between the rows of a table.",
    {
        **for_all(RELION, wrong("takes a blank line for the end of the table and drops the rows after it", _READ_LOOP)),
        **for_all(
            (Program.WARP, Program.M),
            wrong("takes a blank line for the end of the table and drops the rows after it", _WARP_STAR),
        ),
        Program.SCIPION: wrong("takes a blank line for the end of the table and drops the rows after it", _EMTABLE),
    },
)
def _blank_line_in_table(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        if block.blank_after is not None:
            dropped = block.rows - block.blank_after
            yield Hit(
                f"a blank line follows row {block.blank_after} of data_{block.name}, and {dropped} more rows follow it",
                mend.export(context),
                block=block.name,
                row=block.blank_after,
            )


@rule(
    "ragged-row",
    "A row has more or fewer cells than the table has columns.",
    {
        **for_all(
            RELION,
            error(
                'stops: "A line in the STAR file contains more (or fewer) columns than the number of labels"',
                _READ_LOOP,
            ),
        ),
        **for_all(
            (Program.WARP, Program.M),
            wrong("takes such a row for the end of the table and drops it and all rows after it", _WARP_STAR),
        ),
        Program.SCIPION: error("stops where cells are missing, and drops surplus cells", _EMTABLE),
    },
)
def _ragged_row(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        if block.ragged:
            yield Hit(
                f"row {block.ragged[0]} of data_{block.name} does not have {len(block.labels)} cells"
                + (f", nor have {len(block.ragged) - 1} others" if len(block.ragged) > 1 else ""),
                "correct the row, or write the file again with the program that made it",
                block=block.name,
                row=block.ragged[0],
            )


@rule(
    "comment-in-table",
    "A comment line stands between the rows of a table, or right behind them.",
    {
        **for_all(
            RELION,
            error("takes the comment for a row and stops: it has fewer columns than there are labels", _READ_LOOP),
        ),
        **for_all(
            (Program.WARP, Program.M),
            wrong("takes the comment for the end of the table and drops the rows after it", _WARP_STAR),
        ),
        Program.SCIPION: error("takes the comment for a row and stops", _EMTABLE),
    },
)
def _comment_in_table(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        # RELION skips comments among labels, and so before the first row; Warp has all rows before one behind the last.
        first = 2 if context.program in RELION else 1
        last = block.rows if context.program in (Program.WARP, Program.M) else block.rows + 1
        row = next((row for row in block.comments if first <= row <= last and block.rows), None)
        if row is not None:
            where = f"before row {row}" if row <= block.rows else "right behind the last row"
            yield Hit(f"a comment stands {where} of data_{block.name}", mend.export(context), block=block.name, row=row)


@rule(
    "column-twice",
    "A table has two columns of one name.",
    {
        **for_all(
            RELION, error("keeps one of the two and stops at the first row: more columns than labels", _READ_LOOP)
        ),
        **for_all((Program.WARP, Program.M), error("stops: a column of that name is there already", _WARP_STAR)),
        Program.SCIPION: wrong(
            "keeps one of the two, and every column behind it takes its neighbour's cells", _EMTABLE
        ),
    },
)
def _column_twice(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        names = block.columns
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            yield Hit(
                f"data_{block.name} has the column {name} {names.count(name)} times",
                "remove the label and the column of cells that are wrong",
                block=block.name,
                column=name,
            )


@rule(
    "column-number",
    "The number behind a label is not the place of the column.",
    for_all(
        (Program.WARP, Program.M),
        wrong(
            "takes the number behind '#' for the place of the column, and reads the cells of another one", _WARP_STAR
        ),
    ),
)
def _column_number(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        for place, label in enumerate(block.labels, start=1):
            if label.number is not None and label.number != place:
                yield Hit(
                    f"{label.name} is column {place} of data_{block.name} and is numbered #{label.number}",
                    mend.export(context),
                    block=block.name,
                    column=label.name,
                )
                break


@rule(
    "label-glued-to-number",
    "No blank stands between a label and the number behind it.",
    {
        **for_all(
            RELION,
            error(
                "cuts the last letter off the label, takes the column for an unknown one, and stops where it needs it",
                _READ_LOOP,
            ),
        ),
        **for_all(
            (Program.WARP, Program.M),
            error("takes the number for a part of the label, and does not find the column", _WARP_STAR),
        ),
        Program.SCIPION: error(
            "stops: field names must be valid identifiers", "emtable 0.0.14 metadata.py, Reader.getRow; measured"
        ),
    },
)
def _label_glued(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        glued = [label for label in block.labels if label.glued]
        if glued:
            yield Hit(
                f"no blank stands between {glued[0].name} and '#' in data_{block.name}",
                mend.export(context),
                block=block.name,
                column=glued[0].name,
            )


@rule(
    "quoted-cells",
    "Cells are quoted.",
    for_all(
        (Program.WARP, Program.M),
        wrong(
            "knows no quotes: a quoted word keeps them, and a quoted blank parts the cell, which ends the table",
            _WARP_STAR,
        ),
    ),
)
def _quoted_cells(context: Context) -> Iterator[Hit]:
    for block in _tables(context):
        if block.quoted:
            yield Hit(f"data_{block.name} has quoted cells", mend.export(context), block=block.name)


@rule(
    "no-rows",
    "The table of particles has no rows.",
    {
        **for_all(
            (Program.RELION5, Program.RELION4),
            error(
                'stops: "there are no particles in" the file',
                "RELION src/jaz/tomography/particle_set.cpp:16; measured with 5.0.1",
            ),
        ),
        Program.RELION31: error("has nothing to extract or to average", "RELION 3.1 src/preprocessing.cpp"),
        Program.WARP: error(
            'stops: "No particles to write out"', "Warp ExportParticlesTiltseries.cs, WriteOutputStarFile"
        ),
        Program.M: error("cannot make a species without particles", "Warp MTools/Commands/ParticleStarParsing.cs"),
        Program.SCIPION: error(
            "stops: it looks into the first row for the sampling rate",
            "reliontomo 4.0.5 protocol_base_import_from_star.py getCoordsSRate",
        ),
    },
)
def _no_rows(context: Context) -> Iterator[Hit]:
    if (
        context.kind is Kind.PARTICLES
        and context.table is not None
        and context.table.is_loop
        and not len(context.table)
    ):
        yield Hit(f"data_{context.block} has no rows", "pick again, or with a lower --threshold", block=context.block)


@rule(
    "not-particles",
    "No table has coordinates of particles.",
    {
        **for_all(
            (Program.RELION5, Program.RELION4),
            error('stops: "there are no particles in" the file', "RELION src/jaz/tomography/particle_set.cpp:16"),
        ),
        Program.RELION31: error("finds no coordinates in it", "RELION 3.1 src/preprocessing.cpp"),
        Program.WARP: error(
            'stops: "Couldn\'t find rlnCoordinateX column in input STAR file"',
            "Warp ExportParticlesTiltseries.cs, ValidateInputStar",
        ),
        Program.M: error(
            "stops: the table must contain rlnCoordinateX and its fellows",
            "Warp MTools/Commands/ParticleStarParsing.cs",
        ),
        Program.SCIPION: error(
            "finds no rlnTomoParticleId in the first block and refuses the file",
            "reliontomo 4.0.5 protocol_base_import_from_star.py checkIfRe5PickedCoords",
        ),
    },
)
def _not_particles(context: Context) -> Iterator[Hit]:
    is_for_relion = context.kind is Kind.TOMOGRAMS and context.program in (Program.RELION5, Program.RELION4)
    if context.kind in (Kind.OTHER, Kind.TOMOGRAMS) and not is_for_relion:
        names = ", ".join(f"data_{block.name}" for block in context.layout.blocks[:4]) or "no block"
        yield Hit(f"no table has coordinates (there is {names})", "give the STAR file of the particles")


RULES = (
    _compressed,
    _windows_line_ends,
    _blank_line_in_table,
    _ragged_row,
    _comment_in_table,
    _column_twice,
    _column_number,
    _label_glued,
    _quoted_cells,
    _no_rows,
    _not_particles,
)
