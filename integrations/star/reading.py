"""Take particles from STAR files of any program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import Picks
from cryosiam.errors import InputError
from cryosiam.geometry import rotations_from_relion_euler
from cryosiam.integrations.star.dialect import Dialect, load_dialect
from cryosiam.integrations.star.fields import PLACES
from cryosiam.integrations.star.frame import TomogramFrame
from cryosiam.integrations.star.star_file import StarBlock, read_star
from cryosiam.integrations.star.tables import AXES, FramedPicks

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Read:
    """What was read.

    Parameters
    ----------
    sets
        Picks of each tomogram.
    notes
        Sentences on what was left out or taken for granted.
    """

    sets: list[FramedPicks] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_particles(path: Path, frames: Sequence[TomogramFrame] | None, dialect: Dialect | None = None) -> Read:
    """Read particles as picks.

    Parameters
    ----------
    path
        Particle file.
    frames
        Frames of the tomograms, matched by name.
    dialect
        Dialect of the file; by default it is recognised from the columns.

    Raises
    ------
    InputError
        If the file cannot be read, holds no particles, or something needed for places is unknown.
    """
    star = read_star(path)
    block = star.block("particles") or star.blocks[0]
    dialect = dialect or load_dialect("relion5" if "rlnCenteredCoordinateXAngst" in block else "warp")
    column_of = {column.field: column.name for column in dialect.particles.columns}
    place = next(name for name in PLACES if f"{name}.x" in column_of)
    numbers = np.stack([block.numbers(column_of[f"{place}.{axis}"]) for axis in AXES], axis=1)
    names = np.array(_names(block), dtype=object)
    angles = [column_of[f"euler.{angle}"] for angle in ("rot", "tilt", "psi")]
    rotations = None
    if all(name in block for name in angles):
        rotations = rotations_from_relion_euler(np.stack([block.numbers(name) for name in angles], axis=1))
    count = len(block)
    scores = block.numbers("rlnAutopickFigureOfMerit") if "rlnAutopickFigureOfMerit" in block else np.ones(count)
    classes = np.array(block.text("cryosiamClassName") if "cryosiamClassName" in block else [path.stem] * count, object)
    instances = block.numbers("cryosiamInstanceId") if "cryosiamInstanceId" in block else np.zeros(count)
    read = Read()
    by_name = {frame.name: frame for frame in frames or ()}
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        frame = by_name.get(name)
        if frame is None:
            raise InputError(f"{path} names tomogram '{name}', which is not among {', '.join(sorted(by_name)[:5])}")
        picks = Picks(
            frame.run,
            PLACES[place].read(frame, numbers[rows]),
            scores[rows],
            tuple(classes[rows].tolist()),
            instances[rows].astype(np.int64),
            None if rotations is None else rotations[rows],
        )
        read.sets.append(FramedPicks(frame, picks))
    return read


def _names(block: StarBlock) -> list[str]:
    if "rlnTomoName" in block:
        return block.text("rlnTomoName")
    return [Path(name).name.removesuffix(".tomostar") for name in block.text("rlnMicrographName")]
