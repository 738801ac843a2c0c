"""Rules on files that name other files: optimisation sets, and lists of coordinate files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryosiam.errors import InputError
from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context, Kind
from cryosiam.integrations.star.check.finding import Hit, Program, error, for_all, rule, wrong
from cryosiam.integrations.star.check.layout import read_layout
from cryosiam.integrations.star.check.tomograms import in_project, read_listed_tomograms
from cryosiam.integrations.star.check.words import IMPORT_FILE, NAME, PARTICLES_FILE, TOMOGRAMS_FILE
from cryosiam.integrations.star.star_file import StarBlock, read_star

_SET = "RELION src/jaz/tomography/optimisation_set.cpp read"
_IMPORT = "RELION src/jaz/tomography/apps/import_coordinates.cpp; measured with 5.0.1"
_TOMO = (Program.RELION5, Program.RELION4)
_OTHERS = tuple(program for program in Program if program not in _TOMO)


NOT_FOR_IMPORT = frozenset({"no-block-particles", "no-tomogram-name", "import-wildcard"})
"""Rules on particles that do not matter for files that a list names: the import job makes what they miss."""


def set_block(context: Context) -> StarBlock | None:
    """Return the first block, which is the one that RELION reads, where it is one of an optimisation set."""
    first = context.star.blocks[0] if context.star is not None and context.star.blocks else None
    return first if first is not None and (PARTICLES_FILE in first or TOMOGRAMS_FILE in first) else None


def named_file(context: Context, column: str) -> Path | None:
    """Return the file that an optimisation set names, or None."""
    block = set_block(context)
    if block is None or column not in block or not len(block):
        return None
    return in_project(context.path, block.text(column)[0])


@rule(
    "set-incomplete",
    "The optimisation set does not name particles and tomograms in its first block.",
    for_all(_TOMO, error("stops: no particles or tomograms file was found in the optimisation-set file", _SET)),
)
def _incomplete(context: Context) -> Iterator[Hit]:
    if context.kind is not Kind.OPTIMISATION_SET:
        return
    for column in (PARTICLES_FILE, TOMOGRAMS_FILE):
        if named_file(context, column) is None:
            yield Hit(
                f"the first block has no {column}", f"add the line _{column} with the path of the file", column=column
            )


@rule(
    "set-names-no-file",
    "A file that the optimisation set names is not there.",
    for_all(_TOMO, error("stops: it cannot read the file; paths are relative to the project's folder", _SET)),
)
def _no_file(context: Context) -> Iterator[Hit]:
    if context.kind is not Kind.OPTIMISATION_SET:
        return
    for column in (PARTICLES_FILE, TOMOGRAMS_FILE):
        path = named_file(context, column)
        if path is not None and not path.is_file():
            yield Hit(
                f"there is no file {path}, nor one of that name in a folder above",
                "start RELION in the project's folder, and name files as they are seen from there",
                column=column,
            )


@rule(
    "set-names-tilt-series",
    "The optimisation set names a tilt_series.star, or another file without sizes, in place of tomograms.star.",
    {
        Program.RELION5: wrong(
            "takes -999 for the size of the tomograms and shifts every particle: by 0.47 pixels where it was measured",
            "RELION src/jaz/tomography/tomogram_set.cpp loadTomogram; measured with 5.0.1",
        ),
        Program.RELION4: error(
            "stops: rlnTomoSizeX is missing", "RELION 4 src/jaz/tomography/tomogram_set.cpp loadTomogram"
        ),
    },
)
def _tilt_series(context: Context) -> Iterator[Hit]:
    path = named_file(context, TOMOGRAMS_FILE) if context.kind is Kind.OPTIMISATION_SET else None
    if path is None or not path.is_file():
        return
    try:
        has_sizes = read_listed_tomograms(path).has_sizes
    except InputError:
        has_sizes = False
    if not has_sizes:
        yield Hit(
            f"{path.name} has no rlnTomoSizeX/Y/Z",
            "name the tomograms.star of RELION's Reconstruct Tomograms job",
            column=TOMOGRAMS_FILE,
        )


@rule(
    "list-for-relion",
    "The file names other files, as RELION's jobs take them.",
    for_all(_OTHERS, error("finds no coordinates in it", "such files are RELION's own")),
)
def _for_relion(context: Context) -> Iterator[Hit]:
    if context.kind in (Kind.OPTIMISATION_SET, Kind.IMPORT_LIST):
        yield Hit(f"the file is {context.kind.value}", "give the STAR file of the particles that it names")


def _listed(context: Context) -> list[tuple[str, Path]]:
    """Return tomogram names and files of a list of coordinate files."""
    block = None if context.star is None or context.kind is not Kind.IMPORT_LIST else context.star.blocks[0]
    if block is None or NAME not in block or IMPORT_FILE not in block:
        return []
    files = (in_project(context.path, written) for written in block.text(IMPORT_FILE))
    return list(zip(block.text(NAME), files, strict=True))


def listed_files(context: Context) -> list[Path]:
    """Return the STAR files of a list of coordinate files that an import job would read; none for other files."""
    return [path for _, path in _listed(context) if path.suffix == ".star" and _import_problem(path) is None]


@rule(
    "import-list-incomplete",
    "A list of coordinate files lacks tomogram names or file names in its first block.",
    for_all(_TOMO, error("stops: it does not contain rlnTomoName, or rlnTomoImportParticleFile", _IMPORT)),
)
def _list_incomplete(context: Context) -> Iterator[Hit]:
    if context.kind is Kind.IMPORT_LIST:
        first = context.layout.blocks[0]
        for column in (NAME, IMPORT_FILE):
            if column not in first.columns:
                yield Hit(f"data_{first.name} has no {column}", f"add the column {column}", first.name, column)


@rule(
    "import-file",
    "A coordinate file of the list is not there, or its first block is not that of the particles.",
    {
        Program.RELION5: wrong(
            "stops for a file that is not there; of one that is it reads the first block, and takes rows of optics for "
            "particles without a word",
            _IMPORT,
        ),
        Program.RELION4: error("stops: it finds no coordinates", "RELION 4 apps/import_particles.cpp"),
    },
)
def _import_file(context: Context) -> Iterator[Hit]:
    for row, (_, path) in enumerate(_listed(context), start=1):
        says = _import_problem(path)
        if says is not None:
            yield Hit(
                says,
                mend.command("cryosiam", "check", path, "--for", context.program.value),
                block=context.layout.blocks[0].name,
                column=IMPORT_FILE,
                row=row,
            )
            return


def _import_problem(path: Path) -> str | None:
    if not path.is_file():
        return f"there is no file {path}"
    if path.suffix != ".star":
        return None
    blocks = read_layout(path).blocks
    if blocks and any(column.startswith(("rlnCoordinate", "rlnCentered")) for column in blocks[0].columns):
        return None
    return f"the first block of {path.name} is data_{blocks[0].name if blocks else ''}, which has no coordinates"


@rule(
    "import-name-differs",
    "A coordinate file of the list names another tomogram than the list does.",
    {Program.RELION5: error('stops: the file "contains tomonames ... that is not compatible"', f"{_IMPORT}")},
)
def _name_differs(context: Context) -> Iterator[Hit]:
    for row, (name, path) in enumerate(_listed(context), start=1):
        if _import_problem(path) is not None or path.suffix != ".star":
            continue
        block = read_star(path).blocks[0]
        inside = block.text(NAME)[:1] if NAME in block else []
        if inside and inside[0] != name:
            yield Hit(
                f"{path.name} is of '{inside[0]}', the list says '{name}'",
                "correct the name in one of the two",
                block=context.layout.blocks[0].name,
                column=NAME,
                row=row,
            )
            return


@rule(
    "import-columns-differ",
    "Coordinate files of the list do not have the same columns.",
    {
        Program.RELION5: error(
            'stops: "ERROR in appending metadata tables with not the same columns!"',
            "RELION src/metadata_table.cpp append",
        )
    },
)
def _columns_differ(context: Context) -> Iterator[Hit]:
    files = [(row, path) for row, (_, path) in enumerate(_listed(context), start=1) if path.suffix == ".star"]
    columns = [
        (row, path, set(read_layout(path).blocks[0].columns) | {NAME})
        for row, path in files
        if _import_problem(path) is None
    ]
    for row, path, own in columns[1:]:
        if own != columns[0][2]:
            odd = min(own ^ columns[0][2])
            yield Hit(
                f"only one of {columns[0][1].name} and {path.name} has {odd}",
                "give all coordinate files the same columns",
                block=context.layout.blocks[0].name,
                column=IMPORT_FILE,
                row=row,
            )
            return


RULES = (
    _incomplete,
    _no_file,
    _tilt_series,
    _for_relion,
    _list_incomplete,
    _import_file,
    _name_differs,
    _columns_differ,
)
