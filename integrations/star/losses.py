"""Say what a dialect cannot hold of given picks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryosiam.integrations.star.fields import ORIENTATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryosiam.integrations.star.dialect import Dialect
    from cryosiam.integrations.star.tables import FramedPicks

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def losses(dialect: Dialect, files: Sequence[Sequence[FramedPicks]], one_file: bool) -> list[str]:
    """Return sentences on what the dialect cannot hold, or holds in another way.

    Parameters
    ----------
    dialect
        The dialect.
    files
        Picks of each species, or of all where they share a file.
    one_file
        Whether all species share a file.
    """
    sets = [entry for chosen in files for entry in chosen]
    fields = {column.field.partition(".")[0] for column in dialect.particles.columns}
    return [
        *_orientations(dialect, fields, files),
        *_columns(dialect, fields, sets),
        *_classes(dialect, fields, sets, one_file),
        *_names(dialect, sets),
    ]


def _orientations(dialect: Dialect, fields: set[str], files: Sequence[Sequence[FramedPicks]]) -> Iterator[str]:
    required = any(c.required for c in dialect.particles.columns if c.field.partition(".")[0] in ORIENTATIONS)
    if "oriented" in fields:
        return
    for chosen in files:
        known = sum(entry.picks.rotations is not None for entry in chosen)
        names = ", ".join(sorted({name for entry in chosen for name in entry.picks.class_names}))
        if 0 < known < len(chosen):
            yield (
                f"orientations of {names} are known in {known} of {len(chosen)} sets of picks only, so none were "
                "written: readers would take the others for 0"
            )
        elif known == 0 and required:
            yield f"orientations of {names} are not known, but {dialect.name} wants angles: zeros stand there"


def _columns(dialect: Dialect, fields: set[str], sets: Sequence[FramedPicks]) -> Iterator[str]:
    if "radius" not in fields and any(entry.picks.radii_angstrom is not None for entry in sets):
        yield f"{dialect.name} has no column for the size of a particle"
    if "instance_id" not in fields and any(entry.picks.instance_ids.any() for entry in sets):
        yield f"{dialect.name} has no column for the label in an instance segmentation"
    if "score" not in fields:
        yield f"{dialect.name} has no column for scores"


def _classes(dialect: Dialect, fields: set[str], sets: Sequence[FramedPicks], one_file: bool) -> Iterator[str]:
    names = sorted({name for entry in sets for name in entry.picks.class_names})
    if "class_name" in fields:
        return
    if one_file or not dialect.per_species:
        numbers = ", ".join(f"{number} is {name}" for number, name in enumerate(names, start=1))
        yield f"{dialect.name} numbers classes and has no column for their names: {numbers}"
    else:
        yield f"{dialect.name} has no column for names of classes; the name of each file says it"


def _names(dialect: Dialect, sets: Sequence[FramedPicks]) -> Iterator[str]:
    paths = [
        column
        for layout in (dialect, *dialect.companions)
        for block in layout.blocks
        for column in block.columns
        if column.field == "tomogram_path"
    ]
    unknown = sorted({entry.frame.name for entry in sets if entry.frame.tomogram_path is None})
    if paths and unknown:
        yield (
            f"the files of {len(unknown)} tomograms are not known, {unknown[0]}.mrc in the project's folder stands "
            f"for that of '{unknown[0]}'; put them there, or correct {paths[0].name}"
        )
    numeric = sorted({entry.frame.name for entry in sets if _NUMBER.fullmatch(entry.frame.name)})
    if numeric and dialect.format == "star":
        yield (
            f"the name '{numeric[0]}' is written as it is, but readers that guess types, such as the starfile package "
            "and Scipion's, make a number of it"
        )
