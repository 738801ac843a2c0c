"""Compute the columns of a dialect from picks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.integrations.star.fields import AXES, ORIENTATIONS, PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from cryosiam.domain import Picks
    from cryosiam.integrations.star.dialect import Block, Column
    from cryosiam.integrations.star.frame import Optics, TomogramFrame

    Values = list[str] | NDArray[Any]


@dataclass(frozen=True)
class FramedPicks:
    """Picks of one run and how its tomogram lies in the other program's frame.

    Parameters
    ----------
    frame
        The frame.
    picks
        The picks, in Å of the picked tomogram: voxel index times voxel size.
    """

    frame: TomogramFrame
    picks: Picks


@dataclass(frozen=True)
class Facts:
    """What all files of one export share.

    Parameters
    ----------
    class_numbers
        Number of every class name, from 1.
    tomogram_numbers
        Number of every tomogram, from 1.
    """

    class_numbers: Mapping[str, int]
    tomogram_numbers: Mapping[str, int]


@dataclass(frozen=True)
class Sheet:
    """The particles of one file.

    Parameters
    ----------
    sets
        Picks of each tomogram, in the order of the rows; none empty.
    facts
        What all files share.
    files
        Files that this one names: a value for a block of one row, or a value for each tomogram by its name.
    """

    sets: Sequence[FramedPicks]
    facts: Facts
    files: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)

    def table(self, block: Block) -> dict[str, Values] | str:
        """Return the columns of ``block``, or the field of a compulsory one that is not known."""
        table: dict[str, Values] = {}
        for column in block.columns:
            values = self._values(block, column)
            if values is not None:
                table[column.name] = values
            elif column.required:
                return column.field
        return table

    def _values(self, block: Block, column: Column) -> Values | None:
        if block.rows == "particles":
            return self._of_particles(column)
        if block.rows == "optics":
            return self._of_optics(column.field)
        if block.rows == "tomograms":
            return self._of_tomograms(column.field)
        value = self.files.get(column.field)
        return [value] if isinstance(value, str) else None

    @property
    def count(self) -> int:
        """Number of particles."""
        return sum(len(entry.picks) for entry in self.sets)

    @cached_property
    def frames(self) -> list[TomogramFrame]:
        """Frame of every tomogram, in the order of the rows."""
        return list({entry.frame.name: entry.frame for entry in self.sets}.values())

    @property
    def oriented(self) -> bool:
        """Whether orientations of all particles are known."""
        return all(entry.picks.rotations is not None for entry in self.sets)

    @cached_property
    def _optics(self) -> dict[str, tuple[Optics, float]]:
        """Optics and pixel size by name of the tomogram, or nothing where those of one are unknown."""
        known = {
            frame.name: (frame.optics, frame.pixel_size_angstrom)
            for frame in self.frames
            if frame.optics is not None and frame.pixel_size_angstrom is not None
        }
        return known if len(known) == len(self.frames) else {}

    @cached_property
    def _optics_numbers(self) -> dict[tuple[Optics, float], int]:
        # RELION takes the number of a group for its row (obs_model.cpp, getOpticsGroup), so they count from 1.
        return {group: number for number, group in enumerate(dict.fromkeys(self._optics.values()), start=1)}

    def _of_optics(self, name: str) -> Values | None:
        groups = list(self._optics_numbers)
        if not groups:
            return None
        if name == "optics_group":
            return np.arange(1, len(groups) + 1)
        if name == "pixel_size":
            return np.array([size for _, size in groups])
        if name == "voxel_size":
            sizes = {frame.voxel_size_angstrom for frame in self.frames}
            size = sizes.pop() if len(sizes) == 1 else None
            return None if size is None else np.full(len(groups), size)
        values = [getattr(optics, name.removeprefix("optics_")) for optics, _ in groups]
        return values if name == "optics_name" else np.array(values)

    def _of_tomograms(self, name: str) -> Values | None:
        if name == "tomogram_name":
            return [frame.name for frame in self.frames]
        if name == "tomogram_path":
            return [tomogram_path(frame) for frame in self.frames]
        if name == "tomogram_number":
            return np.array([self.facts.tomogram_numbers[frame.name] for frame in self.frames])
        if name == "optics_group":
            return np.array([self._optics_numbers[self._optics[frame.name]] for frame in self.frames])
        files = self.files.get(name)
        return None if files is None or isinstance(files, str) else [files[frame.name] for frame in self.frames]

    def _of_particles(self, column: Column) -> Values | None:
        group, _, part = column.field.partition(".")
        if column.value is not None:
            return np.full(self.count, column.value)
        if group in PLACES:
            return self._place(group)[:, AXES.index(part)]
        if group in ORIENTATIONS:
            numbers = self._orientation(group, column.required)
            return None if numbers is None else numbers[:, ORIENTATIONS[group].parts.index(part)]
        return _PARTICLE_FIELDS[group](self)

    @cached_property
    def _computed(self) -> dict[str, NDArray[np.float64]]:
        return {}

    def _place(self, group: str) -> NDArray[np.float64]:
        if group not in self._computed:
            write = PLACES[group].write
            self._computed[group] = np.concatenate(
                [write(entry.frame, entry.picks.positions_angstrom) for entry in self.sets]
            )
        return self._computed[group]

    def _orientation(self, group: str, required: bool) -> NDArray[np.float64] | None:
        """Return the numbers of an orientation; zeros, or the identity, for unknown ones that a reader insists on."""
        if not self.oriented and not required:
            return None
        if group not in self._computed:
            rotations = self.joined(_rotations)
            way = ORIENTATIONS[group]
            self._computed[group] = way.write(rotations)
            if not self.oriented and "euler" in group:
                self._computed[group] = np.zeros((self.count, len(way.parts)))
        return self._computed[group]

    def joined(self, values: Callable[[FramedPicks], NDArray[Any]]) -> NDArray[Any]:
        """Return an array of every set, one after the other."""
        return np.concatenate([values(entry) for entry in self.sets])

    def by_tomogram(self, name: Callable[[TomogramFrame], str]) -> list[str]:
        """Return a text of every particle's tomogram."""
        return [text for entry in self.sets for text in [name(entry.frame)] * len(entry.picks)]

    def numbers_in_tomogram(self) -> list[int]:
        """Return the number of every particle within its tomogram, from 1."""
        seen: dict[str, int] = defaultdict(int)
        numbers: list[int] = []
        for entry in self.sets:
            first = seen[entry.frame.name] + 1
            numbers += range(first, first + len(entry.picks))
            seen[entry.frame.name] += len(entry.picks)
        return numbers

    def optics_groups(self) -> Values | None:
        """Return the row of every particle's optics."""
        if not self._optics:
            return None
        return self.joined(
            lambda entry: np.full(len(entry.picks), self._optics_numbers[self._optics[entry.frame.name]])
        )


def _rotations(entry: FramedPicks) -> NDArray[np.float64]:
    known = entry.picks.rotations
    return np.tile(np.eye(3), (len(entry.picks), 1, 1)) if known is None else known


def tomogram_path(frame: TomogramFrame) -> str:
    """Return the file of a tomogram; where it is not known, one of its name in the folder of the project."""
    return frame.tomogram_path or f"{frame.name}.mrc"


def tomostar_name(frame: TomogramFrame) -> str:
    """Return the name that Warp and M know a tilt series by."""
    return frame.name if frame.name.endswith(".tomostar") else f"{frame.name}.tomostar"


def _particle_names(sheet: Sheet) -> list[str]:
    names = sheet.by_tomogram(lambda frame: frame.name)
    return [f"{name}/{number}" for name, number in zip(names, sheet.numbers_in_tomogram(), strict=True)]


def _class_names(sheet: Sheet) -> list[str]:
    return [name for entry in sheet.sets for name in entry.picks.class_names]


def _radii(sheet: Sheet) -> Values | None:
    radii = [entry.picks.radii_angstrom for entry in sheet.sets if entry.picks.radii_angstrom is not None]
    return np.concatenate(radii) if len(radii) == len(sheet.sets) else None


def _voxel_sizes(sheet: Sheet) -> Values | None:
    if any(frame.voxel_size_angstrom is None for frame in sheet.frames):
        return None
    return sheet.joined(lambda entry: np.full(len(entry.picks), entry.frame.voxel_size_angstrom, np.float64))


_PARTICLE_FIELDS: dict[str, Callable[[Sheet], Values | None]] = {
    "run": lambda sheet: sheet.by_tomogram(lambda frame: frame.run),
    "tomogram_name": lambda sheet: sheet.by_tomogram(lambda frame: frame.name),
    "tomostar_name": lambda sheet: sheet.by_tomogram(tomostar_name),
    "tomogram_path": lambda sheet: sheet.by_tomogram(tomogram_path),
    "tomogram_number": lambda sheet: sheet.joined(
        lambda entry: np.full(len(entry.picks), sheet.facts.tomogram_numbers[entry.frame.name])
    ),
    "particle_name": _particle_names,
    "particle_number": lambda sheet: np.arange(1, sheet.count + 1),
    "optics_group": Sheet.optics_groups,
    "oriented": lambda sheet: sheet.joined(
        lambda entry: np.full(len(entry.picks), int(entry.picks.rotations is not None))
    ),
    "score": lambda sheet: sheet.joined(lambda entry: entry.picks.scores),
    "instance_id": lambda sheet: sheet.joined(lambda entry: entry.picks.instance_ids),
    "class_name": _class_names,
    "class_number": lambda sheet: np.array([sheet.facts.class_numbers[name] for name in _class_names(sheet)]),
    "radius": _radii,
    "voxel_size": _voxel_sizes,
}
"""Fields of particles that need no geometry."""
