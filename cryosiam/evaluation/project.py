"""What an evaluation asks of a project, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cryosiam.domain import Contrast, Picks
    from cryosiam.domain.tomogram import Volume


@dataclass(frozen=True)
class Annotator:
    """Who annotated, and in which attempt.

    Parameters
    ----------
    user_id, session_id
        As in copick.
    """

    user_id: str
    session_id: str

    def __str__(self) -> str:
        return f"{self.user_id}/{self.session_id}"


@dataclass(frozen=True)
class GridVolume:
    """A volume of one run on its grid.

    Parameters
    ----------
    volume
        The voxels, read lazily.
    voxel_size_angstrom
        Edge of the cubic voxel.
    where
        Where it is, for messages.
    contrast
        Grey value of protein, where it is a tomogram and that is known.
    """

    volume: Volume
    voxel_size_angstrom: float
    where: str
    contrast: Contrast | None = None


class AnnotatedProject(Protocol):
    """Annotations and tomograms by run. Volumes are None where there are none."""

    name: str

    def runs(self) -> Sequence[str]:
        """Return the selected runs, in order."""
        ...

    def has_annotations(self, run: str, by: Annotator) -> bool:
        """Tell whether there is anything by this annotator."""
        ...

    def picks(self, run: str, by: Annotator) -> Picks:
        """Return all picks, of every class."""
        ...

    def radii_angstrom(self) -> Mapping[str, float]:
        """Return the radius of every object that has one."""
        ...

    def masses_kda(self) -> Mapping[str, float]:
        """Return the mass of every object whose mass the project states."""
        ...

    def label_names(self) -> Mapping[int, str]:
        """Return the name of every label of semantic segmentations, 0 for the background among them."""
        ...

    def semantic(self, run: str, by: Annotator) -> list[GridVolume]:
        """Return the semantic segmentations, one for each voxel size."""
        ...

    def instances(self, run: str, by: Annotator) -> list[GridVolume]:
        """Return the instance segmentations of particles, one for each voxel size."""
        ...

    def tomograms(self, run: str, tomogram_type: str) -> list[GridVolume]:
        """Return the tomograms of a type, one for each voxel size."""
        ...


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Parameters
    ----------
    truth, predicted
        Annotators to compare.
    hit_fraction
        Share of the radius within which a pick is a hit.
    clean
        Type of the clean tomogram.
    denoised, source
        Types of the denoised tomogram and of the one it was made of; the latter None where it is not known.
    embeddings
        Parquet file of embeddings, or None.
    scratch
        Folder for scratch files; it must be there.
    """

    truth: Annotator
    predicted: Annotator
    hit_fraction: float
    clean: str
    denoised: str
    source: str | None
    embeddings: Path | None
    scratch: Path


class LeftOutError(Exception):
    """A figure cannot be had of this project; says why."""


def pair_on_one_grid(
    predicted: Sequence[GridVolume], truth: Sequence[GridVolume], run: str, what: str
) -> tuple[GridVolume, GridVolume]:
    """Return prediction and truth that lie on the same grid.

    Parameters
    ----------
    predicted, truth
        Of one run, at least one each.
    run, what
        For messages.

    Raises
    ------
    InputError
        If no two have the same shape and voxel size.
    """
    for mine in predicted:
        for real in truth:
            if mine.volume.shape == real.volume.shape and _same_size(mine, real):
                return mine, real
    raise InputError(
        f"{what} of run '{run}' cannot be compared: {predicted[0].where} has {_grid(predicted[0])} and "
        f"{truth[0].where} has {_grid(truth[0])}; make it on the grid of the truth"
    )


def _same_size(a: GridVolume, b: GridVolume) -> bool:
    # Projects of the field give the nominal size in one place and the calibrated one in another (10.000 and 10.012 Å).
    return abs(a.voxel_size_angstrom - b.voxel_size_angstrom) <= 5e-3 * b.voxel_size_angstrom


def _grid(volume: GridVolume) -> str:
    z, y, x = volume.volume.shape
    return f"{z} x {y} x {x} voxels of {volume.voxel_size_angstrom:g} Å"


def pairs_of_runs(
    found: Mapping[str, Sequence[GridVolume]],
    truth: Mapping[str, Sequence[GridVolume]],
    found_what: str,
    truth_what: str,
) -> dict[str, tuple[GridVolume, GridVolume]]:
    """Pair the volumes of all runs.

    Parameters
    ----------
    found, truth
        Volumes of each run.
    found_what, truth_what
        What they are, for messages.

    Raises
    ------
    LeftOutError
        If no run has a truth, or no run has a prediction.
    InputError
        If some runs have one and others not, or the grids differ.
    """
    for what, volumes in ((truth_what, truth), (found_what, found)):
        if not any(volumes.values()):
            raise LeftOutError(f"there is no {what}")
        lacking = next((run for run, there in volumes.items() if not there), None)
        if lacking is not None:
            raise InputError(
                f"run '{lacking}' has no {what} while others have one; make it, or choose the runs to evaluate with -r"
            )
    return {run: pair_on_one_grid(found[run], truth[run], run, found_what) for run in truth}
