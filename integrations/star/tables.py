"""Compute the columns of a dialect from picks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.geometry import relion_euler_deg
from cryosiam.integrations.star.fields import PLACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cryosiam.domain import Picks
    from cryosiam.integrations.star.dialect import Block
    from cryosiam.integrations.star.frame import Optics, TomogramFrame

    Values = list[str] | NDArray[Any]

AXES = {"x": 0, "y": 1, "z": 2}
ANGLES = {"rot": 0, "tilt": 1, "psi": 2}


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
class Sheet:
    """The particles of one file, and what their columns share with other files.

    Parameters
    ----------
    sets
        Picks of each tomogram, in the order of the rows.
    class_numbers
        Number of every class name.
    facts
        Values of the fields that are the same for all: names of files.
    """

    sets: Sequence[FramedPicks]
    class_numbers: Mapping[str, int]
    facts: Mapping[str, str] = field(default_factory=dict)

    def table(self, block: Block) -> dict[str, Values] | None:
        """Return the columns of ``block``, or None where a compulsory one is not known."""
        table: dict[str, Values] = {}
        for column in block.columns:
            values = self._values(block.rows, column.field)
            if values is not None:
                table[column.name] = values
            elif column.required:
                return None
        return table

    def _values(self, rows: str, name: str) -> Values | None:
        if rows == "particles":
            return self._of_particles(name)
        if rows == "optics":
            return self._of_optics(name)
        if rows == "one":
            return [self.facts[name]] if name in self.facts else None
        return [str(getattr(frame, name)) for frame in self._frames]

    @cached_property
    def _frames(self) -> list[TomogramFrame]:
        return list({entry.frame.name: entry.frame for entry in self.sets}.values())

    @cached_property
    def _optics(self) -> list[tuple[Optics, float]]:
        """Optics and pixel size of every group, or nothing where those of one tomogram are unknown."""
        groups = [(frame.optics, frame.pixel_size_angstrom) for frame in self._frames]
        known = [(optics, size) for optics, size in groups if optics is not None and size is not None]
        return list(dict.fromkeys(known)) if len(known) == len(groups) else []

    def _of_optics(self, name: str) -> Values | None:
        groups = self._optics
        if not groups:
            return None
        if name == "optics_group":
            return np.arange(1, len(groups) + 1)
        if name == "optics_name":
            return [optics.name for optics, _ in groups]
        if name == "pixel_size":
            return np.array([size for _, size in groups])
        return np.array([getattr(optics, name) for optics, _ in groups])

    def _of_particles(self, name: str) -> Values | None:
        group, _, part = name.partition(".")
        if group in PLACES:
            return self._places(group)[:, AXES[part]]
        if group == "euler":
            angles = self._euler
            return None if angles is None else angles[:, ANGLES[part]]
        if name == "score":
            return np.concatenate([entry.picks.scores for entry in self.sets])
        if name == "instance_id":
            return np.concatenate([entry.picks.instance_ids for entry in self.sets])
        if name == "class_name":
            return [name for entry in self.sets for name in entry.picks.class_names]
        if name == "class_number":
            return np.array([self.class_numbers[name] for entry in self.sets for name in entry.picks.class_names])
        if name == "optics_group":
            return self._optics_groups()
        if name == "particle_name":
            return [f"{name}/{number}" for name, number in zip(self._names, self._numbers, strict=True)]
        if name == "tomostar_name":
            return [f"{name}.tomostar" for name in self._names]
        if name == "tomogram_name":
            return self._names
        if name == "voxel_size":
            return np.concatenate(
                [np.full(len(entry.picks), entry.frame.voxel_size_angstrom, np.float64) for entry in self.sets]
            )
        raise ValueError(f"no field {name}")

    def _places(self, group: str) -> NDArray[np.float64]:
        place = PLACES[group]
        return np.concatenate([place.write(entry.frame, entry.picks.positions_angstrom) for entry in self.sets])

    @cached_property
    def _euler(self) -> NDArray[np.float64] | None:
        rotations = [entry.picks.rotations for entry in self.sets if entry.picks.rotations is not None]
        return relion_euler_deg(np.concatenate(rotations)) if len(rotations) == len(self.sets) else None

    @cached_property
    def _names(self) -> list[str]:
        return [entry.frame.name for entry in self.sets for _ in range(len(entry.picks))]

    @cached_property
    def _numbers(self) -> list[int]:
        """Return the number of every particle within its tomogram, from 1."""
        seen: dict[str, int] = defaultdict(int)
        numbers: list[int] = []
        for entry in self.sets:
            first = seen[entry.frame.name] + 1
            numbers += range(first, first + len(entry.picks))
            seen[entry.frame.name] += len(entry.picks)
        return numbers

    def _optics_groups(self) -> Values | None:
        if not self._optics:
            return None
        number = {group: position for position, group in enumerate(self._optics, start=1)}
        return np.concatenate(
            [
                np.full(len(entry.picks), number[entry.frame.optics, entry.frame.pixel_size_angstrom])  # type: ignore[index]
                for entry in self.sets
            ]
        )
