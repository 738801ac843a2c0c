"""Turn the columns of a particle file into positions, rotations, scores and classes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.geometry import relion_positions, rotations_from_relion_euler
from cryosiam.integrations.star.fields import AXES, ORIENTATIONS, PLACES, known_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.integrations.star.frame import TomogramFrame
    from cryosiam.integrations.star.particle_file import ParticleTable

    Floats = NDArray[np.float64]

_ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_SUBTOMOGRAM_ANGLES: Final = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
_STATED_PIXEL_SIZE: Final = "rlnTomoTiltSeriesPixelSize"
_STATED_VOXEL_SIZES: Final = ("cryosiamVoxelSize", "voxel_size_angstrom", "rlnMicrographPixelSize", "rlnPixelSize")
_SAME: Final = 1e-3
_DETECTOR: Final = 1e4
"""RELION 3.0: rlnDetectorPixelSize is in micrometres, the pixel size rlnDetectorPixelSize * 1e4 / rlnMagnification."""


class Columns:
    """The quantities of a particle file.

    Parameters
    ----------
    table
        The particles.
    """

    def __init__(self, table: ParticleTable) -> None:
        self._table = table
        self._rows = table.rows
        self._count = len(table.rows)
        self._place = self._place_of()
        names = [self._column(f"{self._place}.{axis}") for axis in AXES]
        self._numbers = self._stacked([name for name in names if name is not None])
        self._unit = self._stated_unit()
        self._origins = self._stated_origins()
        self.notes: list[str] = []
        if "rlnLCCmax" in self._rows and self._place == "centred":
            self._note(
                f"{table.path} is of pytom-match-pick, versions of which count from N/2 - 1 and not from N/2 as RELION "
                "does: look whether the picks lie one voxel off"
            )

    def _column(self, field: str) -> str | None:
        name = self._table.dialect.column(field)
        return name if name is not None and name in self._rows else None

    def _place_of(self) -> str:
        for name in PLACES:
            if name != "rounding" and all(self._column(f"{name}.{axis}") for axis in AXES):
                return name
        wanted = [column.name for column in self._table.dialect.particles.columns if column.unit and column.required]
        raise InputError(
            f"{self._table.path} lacks columns of the dialect {self._table.dialect.name} ({', '.join(wanted[:3])}); "
            "say another dialect"
        )

    def _stacked(self, columns: Sequence[str]) -> Floats:
        return np.stack([self._rows.numbers(column) for column in columns], axis=1)

    @property
    def unit(self) -> str:
        """What coordinates are counted in, in words."""
        name = self._column(f"{self._place}.x")
        return next(column.unit for column in self._table.dialect.particles.columns if column.name == name)

    def positions(self, frame: TomogramFrame, rows: NDArray[np.int64]) -> Floats:
        """Return positions (x, y, z) in Å of the picked tomogram, with origins applied.

        Parameters
        ----------
        frame
            Frame of the tomogram that the rows are of.
        rows
            Numbers of the rows.
        """
        place, numbers = PLACES[self._place], self._numbers[rows]
        if self._normalised:
            numbers = numbers * self._size(frame)
        units = [None] if self._unit is None or place.unit is None else np.unique(self._unit[rows]).tolist()
        positions = np.empty((len(rows), 3))
        for unit in units:
            chosen = slice(None) if unit is None or self._unit is None else self._unit[rows] == unit
            self._note_unit(frame, place.unit, unit)
            positions[chosen] = place.read(frame, numbers[chosen], unit)
        if self._origins is None:
            return positions
        origins, in_pixels, subtomograms = self._origins
        moved = origins[rows]
        if in_pixels and self._unit is not None:
            moved = moved * self._unit[rows, None]
        elif in_pixels:
            moved = moved * known_size(frame, place.unit or "pixel_size_angstrom")
        return relion_positions(positions, moved, None if subtomograms is None else subtomograms[rows])

    def stated_voxel_size(self, rows: NDArray[np.int64]) -> float | None:
        """Return the voxel size that the file states for these rows, where it states one."""
        if self._unit is None or PLACES[self._place].unit != "voxel_size_angstrom":
            return None
        sizes = np.unique(self._unit[rows])
        return float(sizes[0]) if len(sizes) == 1 else None

    @cached_property
    def _normalised(self) -> bool:
        """Whether coordinates are shares of the tomogram's size, as Warp's template matching writes them."""
        shares = (self._numbers >= 0).all() and (self._numbers <= 1).all()
        ours = "cryosiamClassName" in self._rows
        return bool(self._place == "aligned_voxel" and shares and self._unit is None and not ours)

    def _size(self, frame: TomogramFrame) -> Floats:
        if frame.size_xyz is None:
            raise InputError(
                f"the coordinates in {self._table.path} are shares of the tomogram's size, which is not known for "
                f"'{frame.name}'; give the tomogram, or export with coordinates in voxels"
            )
        self._note(f"coordinates in {self._table.path} were taken for shares of the size of the tomogram, as Warp's")
        return np.array(frame.size_xyz, np.float64)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _note_unit(self, frame: TomogramFrame, fact: str | None, unit: float | None) -> None:
        known = None if fact != "pixel_size_angstrom" else frame.pixel_size_angstrom
        if unit is not None and known is not None and abs(unit - known) > _SAME * known:
            self._note(
                f"{self._table.path} states a pixel size of {unit:g} Å where tomogram '{frame.name}' has {known:g} Å; "
                "its own was taken"
            )

    def _stated_unit(self) -> Floats | None:
        """Return the unit of each particle's coordinates in Å, where the file states it."""
        fact = PLACES[self._place].unit
        if fact is None:
            return None
        if fact == "pixel_size_angstrom":
            unit = self._warp_unit()
            if unit is None:
                unit = self._table.per_particle(_STATED_PIXEL_SIZE)
        else:
            unit = self._table.per_particle(*_STATED_VOXEL_SIZES)
            if unit is None:
                unit = self._detector_unit()
            if unit is None:
                unit = self._table.per_particle("rlnImagePixelSize")
        if unit is not None and not (unit > 0).all():
            raise InputError(f"{self._table.path} states a pixel size that is not above zero; correct it")
        return unit

    def _warp_unit(self) -> Floats | None:
        """Return the pixel size of the images where Warp wrote a file for RELION.

        Its coordinates are in pixels of the images, though its optics state the pixel size of the tilt series too: in
        a file of Warp 2 for tomograms of 4400 x 6000 x 1000 pixels they fill 1/5.07 of each side, its binning.
        """
        if "rlnTomoParticleId" not in self._rows or "rlnTomoName" not in self._rows:
            return None
        names = self._rows.text("rlnTomoName")
        written = bool(names) and names[0].endswith(".tomostar")
        return self._table.per_particle("rlnImagePixelSize") if written else None

    def _detector_unit(self) -> Floats | None:
        pixel, magnification = (self._table.per_particle(name) for name in ("rlnDetectorPixelSize", "rlnMagnification"))
        if pixel is None or magnification is None or not (magnification > 0).all():
            return None
        return pixel * _DETECTOR / magnification

    def _stated_origins(self) -> tuple[Floats, bool, Floats | None] | None:
        """Return origins, whether they are in pixels, and the rotations that they are measured in."""
        for suffix, in_pixels in (("Angst", False), ("", True)):
            names = [f"rlnOrigin{axis}{suffix}" for axis in "XYZ"]
            if any(name in self._rows for name in names):
                return self._with_zeros(names), in_pixels, self._subtomograms()
        moved = [self._column(f"matrix.{row}3") for row in range(3)]
        if all(moved):  # copick: a point lies at its location and the last column of its matrix
            return -self._stacked([name for name in moved if name is not None]), False, None
        shifts = [self._column(f"dynamo_shift.{axis}") for axis in AXES]
        if all(shifts):
            return -self._stacked([name for name in shifts if name is not None]), True, None
        return None

    def _with_zeros(self, names: Sequence[str]) -> Floats:
        """Return columns, 0 for absent ones, as RELION takes them."""
        zeros = np.zeros(self._count)
        return np.stack([self._rows.numbers(name) if name in self._rows else zeros for name in names], axis=1)

    def _subtomograms(self) -> Floats | None:
        if not any(name in self._rows for name in _SUBTOMOGRAM_ANGLES):
            return None
        return rotations_from_relion_euler(self._with_zeros(_SUBTOMOGRAM_ANGLES))

    def rotations(self) -> Floats | None:
        """Return object -> tomogram matrices, or None where orientations are not known.

        Zeros throughout stand for unknown orientations in the files of Warp, M and Dynamo, which want or take angles of
        all particles.
        """
        for group, way in ORIENTATIONS.items():
            names = [self._column(f"{group}.{part}") for part in way.parts]
            if group in ("matrix", "dynamo_euler", "m_species_euler") and all(names):
                numbers = self._stacked([name for name in names if name is not None])
                known = self._column("oriented")
                unknown = not numbers.any() if known is None else not self._rows.numbers(known).all()
                return None if unknown else way.read(numbers)
        if not any(name in self._rows for name in (*_ANGLES, *_SUBTOMOGRAM_ANGLES)):
            return None
        angles, subtomograms = self._with_zeros(_ANGLES), self._subtomograms()
        if self._column("warp_euler.rot") and subtomograms is None and not angles.any():
            return None
        if subtomograms is not None and not angles.any():
            return subtomograms
        particles = rotations_from_relion_euler(angles)
        return particles if subtomograms is None else subtomograms @ particles

    def scores(self) -> Floats:
        """Return the scores, 1 where there are none."""
        for name in (self._column("score"), "rlnAutopickFigureOfMerit", "rlnLCCmax"):
            if name is not None and name in self._rows:
                return self._rows.numbers(name)
        return np.ones(self._count)

    def classes(self) -> NDArray[np.object_]:
        """Return names of classes, else their numbers as text, else nothing."""
        for name in (self._column("class_name"), "cryosiamClassName", self._column("class_number"), "rlnClassNumber"):
            if name is not None and name in self._rows:
                return self._rows.columns[name]
        return np.full(self._count, "", dtype=object)

    def instances(self) -> NDArray[np.int64]:
        """Return labels of the instance segmentation, 0 where there are none."""
        name = self._column("instance_id")
        return np.zeros(self._count, np.int64) if name is None else self._rows.numbers(name).astype(np.int64)

    def radii(self) -> Floats | None:
        """Return radii in Å, or None where there are none."""
        name = self._column("radius")
        return None if name is None else self._rows.numbers(name)
