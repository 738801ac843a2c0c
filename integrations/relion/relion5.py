"""``relion5/particles.star``: RELION 5 particles in Å from the centre of the unbinned tomogram."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.geometry import binning_shift_angstrom, relion5_centered_angstrom
from cryosiam.integrations.relion.tomograms_star import UnbinnedFrame, read_tomograms_star
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.frame import Optics
from cryosiam.integrations.star.particle_table import common_columns
from cryosiam.integrations.star.star_sink import StarSink
from cryosiam.integrations.star.star_writer import Table, Value, write_star
from cryosiam.ports import Capabilities, ProductKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.domain import Picks, Tomogram

NEEDED: Final = (
    "relion5/particles.star needs the unbinned tomogram size: give --tomograms-star FILE, "
    "or --tilt-series-pixel-size Å and --tomogram-size X,Y,Z"
)
SIZE_TOLERANCE_VOXELS: Final = 2.0
"""Binned sizes are rounded, by some programs to even numbers."""


class Relion5Sink(StarSink):
    """Write ``relion5/particles.star``, one table for all runs.

    ``rlnCenteredCoordinate*Angst = (i*b - N/2.0)*a``: the unbinned size ``N`` and the pixel size ``a`` of the tilt
    series must be known, from RELION's tomograms.star or from options that hold for all runs. Columns are in
    ``schemas/star/relion5.yaml``.

    Parameters
    ----------
    out_dir
        Results folder.
    tomograms_star
        ``tomograms.star`` of RELION's Reconstruct Tomograms job.
    tilt_series_pixel_size_angstrom, tomogram_size_xyz
        Pixel size in Å and unbinned size (x, y, z) in pixels of all runs, instead.
    binned_by_averaging
        How many voxels along each axis were averaged into one of the tomogram that is picked. Its first voxel lies
        ``(n - 1) / 2`` of the finer voxels inside the tomogram, which is added; 1 where voxels were not averaged.

    Raises
    ------
    InputError
        If the facts are missing, incomplete or impossible.
    """

    capabilities = Capabilities(
        name="relion5",
        summary="relion5/particles.star: RELION 5 centred coordinates, with score and class",
        accepts=frozenset({"picks", "scores", "classes", "orientations"}),
    )

    def __init__(
        self,
        out_dir: Path | str,
        tomograms_star: Path | str | None = None,
        tilt_series_pixel_size_angstrom: float | None = None,
        tomogram_size_xyz: tuple[int, int, int] | None = None,
        binned_by_averaging: int = 1,
        folder: Path | None = None,
    ) -> None:
        super().__init__(out_dir)
        self.folder = self.out_dir / "relion5" if folder is None else folder
        self._where = tomograms_star
        self._binning = binned_by_averaging
        if binned_by_averaging < 1:
            raise InputError(f"--binned-by-averaging must be a whole number from 1, not {binned_by_averaging}")
        _refuse_impossible(tilt_series_pixel_size_angstrom, tomogram_size_xyz)
        self._frames: dict[str, UnbinnedFrame] = {}
        self._every_run: UnbinnedFrame | None = None
        if tomograms_star is not None:
            self._frames = read_tomograms_star(Path(tomograms_star))
        elif tilt_series_pixel_size_angstrom is not None and tomogram_size_xyz is not None:
            self._every_run = UnbinnedFrame("", tomogram_size_xyz, tilt_series_pixel_size_angstrom)
        else:
            raise InputError(NEEDED)

    @classmethod
    def from_options(
        cls,
        out_dir: Path | str,
        tomograms_star: Path | str | None = None,
        tilt_series_pixel_size_angstrom: float | None = None,
        tomogram_size_xyz: tuple[int, int, int] | None = None,
        binned_by_averaging: int = 1,
        folder: Path | None = None,
    ) -> Relion5Sink | str:
        """Return the sink, or where no option was given the sentence that says which ones make the file.

        Raises
        ------
        InputError
            If options are given but incomplete or impossible.
        """
        facts = (tomograms_star, tilt_series_pixel_size_angstrom, tomogram_size_xyz)
        if facts == (None, None, None) and binned_by_averaging == 1:
            return NEEDED
        return cls(out_dir, *facts, binned_by_averaging, folder)

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Find out before the work whether the file can be written.

        Raises
        ------
        InputError
            If a run is not in tomograms.star, or has a name that STAR files cannot carry.
        StorageError
            If the folder cannot be written.
        """
        super().check(runs, key)
        for run in runs:
            self._frame(run)

    def write_picks(self, tomogram: Tomogram, picks: Picks, key: ProductKey) -> list[str]:
        """Keep the picks of one run for `finish`.

        Raises
        ------
        InputError
            If the tomogram is not as large as the unbinned one, so that their centres differ by an unknown amount.
        """
        self._check_size(tomogram, self._frame(tomogram.run))
        shift = binning_shift_angstrom(self._binning, tomogram.voxel_size_angstrom / self._binning)
        return super().write_picks(tomogram, replace(picks, positions_angstrom=picks.positions_angstrom + shift), key)

    def finish(self, key: ProductKey) -> list[str]:
        """Write the file and return its path, or why there is none.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        dialect = load_dialect("relion5")
        path = self.folder / "particles.star"
        kept = [(self._frame(tomogram.run), picks) for tomogram, picks in self._kept()]
        if not kept:
            return self._without_picks(path)
        columns = common_columns([picks for _, picks in kept])
        for frame, picks in kept:
            for name, values in _place(frame, picks).items():
                columns.setdefault(name, []).extend(values)
        tables: dict[str, Table] = {"particles": columns}
        optics = _optics_of([frame for frame, _ in kept])
        if optics:
            groups = list(dict.fromkeys(optics.values()))
            tables["optics"] = _optics_table(groups)
            columns["rlnOpticsGroup"] = [
                1 + groups.index(optics[frame.name]) for frame, picks in kept for _ in range(len(picks))
            ]
        write_star(path, dialect, tables)
        return [str(path)]

    def _frame(self, run: str) -> UnbinnedFrame:
        if self._every_run is not None:
            return replace(self._every_run, name=run)
        if run not in self._frames:
            names = ", ".join(sorted({frame.name for frame in self._frames.values()})[:5])
            raise InputError(f"run '{run}' is not in {self._where} (there: {names}); use RELION's names")
        return self._frames[run]

    def _check_size(self, tomogram: Tomogram, frame: UnbinnedFrame) -> None:
        size = np.array(tomogram.shape[::-1]) * tomogram.voxel_size_angstrom
        unbinned = np.array(frame.size_xyz) * frame.pixel_size_angstrom
        if (np.abs(size - unbinned) > SIZE_TOLERANCE_VOXELS * tomogram.voxel_size_angstrom).any():
            raise InputError(
                f"tomogram of run '{tomogram.run}' is {_text(size)} Å, the unbinned one {_text(unbinned)} Å; "
                "give the size and pixel size of the tomogram that was picked, not trimmed or rotated"
            )


def _refuse_impossible(pixel_size_angstrom: float | None, size_xyz: tuple[int, int, int] | None) -> None:
    sizes = [*([] if pixel_size_angstrom is None else [pixel_size_angstrom]), *(size_xyz or ())]
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise InputError("--tilt-series-pixel-size and --tomogram-size must be above zero; correct them")


def _place(frame: UnbinnedFrame, picks: Picks) -> dict[str, list[Value]]:
    centred = relion5_centered_angstrom(picks.positions_angstrom, frame.size_xyz, frame.pixel_size_angstrom)
    x, y, z = centred.T.tolist()
    return {
        "rlnTomoName": [frame.name] * len(picks),
        "rlnTomoParticleName": [f"{frame.name}/{number}" for number in range(1, len(picks) + 1)],
        "rlnCenteredCoordinateXAngst": x,
        "rlnCenteredCoordinateYAngst": y,
        "rlnCenteredCoordinateZAngst": z,
    }


_Group = tuple[Optics, float]


def _optics_of(frames: Sequence[UnbinnedFrame]) -> dict[str, _Group]:
    """Return optics and pixel size of every tomogram by name, or nothing where those of one are unknown."""
    known = {frame.name: (frame.optics, frame.pixel_size_angstrom) for frame in frames if frame.optics is not None}
    return known if len(known) == len({frame.name for frame in frames}) else {}


def _optics_table(groups: Sequence[_Group]) -> dict[str, list[Value]]:
    return {
        "rlnOpticsGroup": list(range(1, len(groups) + 1)),
        "rlnOpticsGroupName": [optics.name for optics, _ in groups],
        "rlnSphericalAberration": [optics.spherical_aberration_mm for optics, _ in groups],
        "rlnVoltage": [optics.voltage_kv for optics, _ in groups],
        "rlnAmplitudeContrast": [optics.amplitude_contrast for optics, _ in groups],
        "rlnTomoTiltSeriesPixelSize": [size for _, size in groups],
    }


def _text(size: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return " x ".join(f"{value:.0f}" for value in size)
