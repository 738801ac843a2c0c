"""RELION projects as source of tomograms: what a ``tomograms.star`` names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.domain import Picks, Tomogram
from cryosiam.errors import InputError
from cryosiam.integrations.relion.tomograms_star import read_tomograms
from cryosiam.integrations.relion.volumes import (
    HALVES,
    RECONSTRUCTED,
    MeanVolume,
    beside,
    checked_voxel_size,
    files_of,
    open_mrc,
    project_root,
)
from cryosiam.integrations.run_names import check_run_name
from cryosiam.integrations.star.star_file import read_star
from cryosiam.ports import Capabilities, HandBack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.domain import Volume


class RelionSource:
    """Tomograms of a RELION 5 or RELION 4 project, one run each, named as in RELION.

    RELION 5's ``tomograms.star`` names the files of the tomograms. Where it names only halves, the mean of the two is
    read. RELION 4's names none: ``tomograms/<name>.mrc`` beside it is taken.

    Parameters
    ----------
    tomograms_star
        ``tomograms.star`` of RELION's Reconstruct Tomograms or Denoise Tomograms job, inside its project.
    tomogram
        ``reconstructed``, ``halves`` or ``denoised``; by default the first of the first two that there is.
    runs
        Names of the tomograms to use; all for None.

    Raises
    ------
    InputError
        If ``tomograms.star`` cannot be used, or the tomograms it names are not there.
    """

    capabilities = Capabilities(
        name="relion",
        summary="RELION 5 and 4 projects: the tomograms that a tomograms.star names",
        provides=frozenset({"tomograms"}),
    )

    def __init__(
        self, tomograms_star: Path | str, tomogram: str | None = None, runs: Sequence[str] | None = None
    ) -> None:
        self._where = Path(tomograms_star)
        known = {entry.name: entry for entry in read_tomograms(self._where)}
        missing = [run for run in runs or () if run not in known]
        if missing:
            raise InputError(f"{self._where} has no tomogram '{missing[0]}'; there are {', '.join(list(known)[:10])}")
        self._known = {name: entry for name, entry in known.items() if not runs or name in runs}
        for name in self._known:
            check_run_name(name, str(self._where), number_is_fine=True)
        named = {name: files_of(entry, tomogram, self._where) for name, entry in self._known.items()}
        listed = [file for files in named.values() for file in files]
        root = project_root(self._where, listed) if listed else self._where.absolute().parent
        self.hand_back = HandBack("relion5" if is_relion5(self._where) else "relion4", root)
        self._files = {
            name: tuple(root / file for file in files) or (beside(self._where, name),) for name, files in named.items()
        }
        self._kind = tomogram

    def runs(self) -> list[str]:
        """Return RELION's names of the tomograms, in the order of the file."""
        return list(self._known)

    def tomogram(self, run: str) -> Tomogram:
        """Return the tomogram of ``run``; its voxels stay on disk until they are read.

        Raises
        ------
        InputError
            If a file is missing or damaged, or contradicts ``tomograms.star``.
        """
        files = self._files[run]
        opened = [open_mrc(path) for path in files]
        sizes = [
            checked_voxel_size(path, layout, self._known[run], self._where)
            for path, (_, layout) in zip(files, opened, strict=True)
        ]
        volume: Volume = opened[0][0]
        if len(opened) == 2:
            if opened[0][0].shape != opened[1][0].shape:
                raise InputError(f"{files[0]} and {files[1]} differ in size; reconstruct both halves again")
            volume = MeanVolume(opened[0][0], opened[1][0])
        return Tomogram(
            run=run,
            volume=volume,
            voxel_size_angstrom=sizes[0],
            tomogram_type=self._kind or (HALVES if len(files) == 2 else RECONSTRUCTED),
            source=str(files[0]),
        )

    def signature(self, run: str) -> str:
        """Return a short text that changes when a file changes size or time, or another one is to be read."""
        facts = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self._files[run]]
        return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:32]

    def particle_names(self) -> None:
        """RELION names no particles."""
        return

    def reference_picks(self, run: str) -> Picks | None:
        """Return None: a tomograms.star carries no annotations."""
        return None


def is_relion5(tomograms_star: Path) -> bool:
    """Tell whether a ``tomograms.star`` is RELION 5's, which has a file per tilt series, or RELION 4's.

    Raises
    ------
    InputError
        If it is no STAR file.
    """
    table = read_star(tomograms_star).block("global")
    return table is not None and "rlnTomoTiltSeriesStarFile" in table
