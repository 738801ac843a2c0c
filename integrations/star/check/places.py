"""Where particles lie, by every way to read their coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.geometry import positions_from_relion5_centered
from cryosiam.integrations.star.check.finding import Program
from cryosiam.integrations.star.check.words import CENTRED, CORNER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.integrations.star.check.context import Context
    from cryosiam.integrations.star.check.tomograms import ListedTomogram


@dataclass(frozen=True)
class Places:
    """Places of particles in Å from the centre of the tomogram's first voxel; NaN where they cannot be told.

    Parameters
    ----------
    tomograms
        Tomogram of every particle, or None.
    pixel_sizes
        ``(n,)`` pixel size of the tilt series in Å.
    voxel_sizes
        ``(n,)`` voxel size of the tomogram in Å.
    sizes
        ``(n, 3)`` size (x, y, z) of the tomogram in Å.
    raw_centred, raw_corner
        ``(n, 3)`` numbers (x, y, z) of the columns as they are written; NaN where there are none.
    program
        The program that reads them.
    """

    tomograms: tuple[ListedTomogram | None, ...]
    pixel_sizes: NDArray[np.float64]
    voxel_sizes: NDArray[np.float64]
    sizes: NDArray[np.float64]
    raw_centred: NDArray[np.float64]
    raw_corner: NDArray[np.float64]
    program: Program

    @staticmethod
    def of(context: Context) -> Places:
        """Return the places of a file's particles."""
        found = _tomograms(context)
        pixel_sizes = np.array([np.nan if row is None else _or_nan(row.pixel_size_angstrom) for row in found])
        voxel_sizes = np.array([np.nan if row is None else _or_nan(row.voxel_size_angstrom) for row in found])
        told = context.voxel_size_told
        if told is not None:
            voxel_sizes[:] = told
        unbinned = np.array([(row and row.unbinned_size_xyz) or (np.nan,) * 3 for row in found]).reshape(-1, 3)
        return Places(
            tuple(found),
            pixel_sizes,
            voxel_sizes,
            unbinned * pixel_sizes[:, None],
            _columns(context, CENTRED),
            _columns(context, CORNER),
            context.program,
        )

    @property
    def centred(self) -> NDArray[np.float64]:
        """Places by the centred columns, in Å."""
        return self.from_centre(self.raw_centred)

    @property
    def corner(self) -> NDArray[np.float64]:
        """Places by the columns from the corner, in the unit in which the program reads them."""
        return self.raw_corner * self.unit[:, None]

    @property
    def unit(self) -> NDArray[np.float64]:
        """``(n,)`` what the program takes one of the coordinates from the corner for, in Å."""
        return self.pixel_sizes if self.program in (Program.RELION5, Program.RELION4) else self.voxel_sizes

    def only(self, which: NDArray[np.bool_]) -> Places:
        """Return the places of some of the particles."""
        tomograms = tuple(tomogram for tomogram, wanted in zip(self.tomograms, which, strict=True) if wanted)
        return Places(
            tomograms,
            self.pixel_sizes[which],
            self.voxel_sizes[which],
            self.sizes[which],
            self.raw_centred[which],
            self.raw_corner[which],
            self.program,
        )

    @property
    def reads_centred(self) -> bool:
        """True where the program reads the centred columns."""
        return self.program is Program.RELION5 and bool(np.isfinite(self.raw_centred).any())

    @property
    def as_read(self) -> NDArray[np.float64]:
        """Places as the program reads them."""
        return self.centred if self.reads_centred else self.corner

    def from_centre(self, distances_angstrom: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places that lie ``distances`` (``(n, 3)``, Å) from the centres of their tomograms."""
        return positions_from_relion5_centered(distances_angstrom, self.sizes, 1.0)

    def inside(self, positions_angstrom: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which places lie in their tomogram; those that cannot be told do not."""
        with np.errstate(invalid="ignore"):
            above = positions_angstrom > -0.51 * self.pixel_sizes[:, None]
            below = positions_angstrom < self.sizes
        return np.asarray((above & below).all(axis=1), dtype=np.bool_)


def _tomograms(context: Context) -> list[ListedTomogram | None]:
    frames = context.frames
    plain = {name: frames.get(plain_name(name)) for name in dict.fromkeys(context.names)}
    only = next(iter(frames.values())) if len(frames) == 1 else None
    return [plain[name] for name in context.names] if context.names else [only] * context.count


def plain_name(name: str) -> str:
    """Return a tomogram's name without folder, ending and voxel size: ``a/TS_1_10.00Apx.mrc`` gives ``TS_1``."""
    stem = PurePosixPath(name.replace("\\", "/")).name
    for ending in (".tomostar", ".mrc", ".rec"):
        stem = stem.removesuffix(ending)
    head, _, tail = stem.rpartition("_")
    return head if head and tail.endswith("Apx") else stem


def _columns(context: Context, columns: tuple[str, ...]) -> NDArray[np.float64]:
    if not context.has(*columns):
        return np.full((context.count, 3), np.nan)
    return np.column_stack([context.numbers(column) for column in columns])


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
