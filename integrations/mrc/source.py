"""MRC and REC files as source of tomograms."""

from __future__ import annotations

import hashlib
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.errors import InputError
from cryosiam.integrations.mrc.header import read_layout, voxel_size_of
from cryosiam.integrations.run_names import check_run_name
from cryosiam.ports import Capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence


class MrcSource:
    """Tomograms in MRC or REC files, one run each, named as the file without its ending.

    Parameters
    ----------
    patterns
        Files, or shell patterns such as ``tomos/*.mrc``.
    voxel_size_angstrom
        Voxel size of all files; by default what each header states.
    runs
        Names of the runs to use; all for None.

    Raises
    ------
    InputError
        If a pattern fits no file, two files have one name, or the voxel size is not positive.
    """

    capabilities = Capabilities(
        name="mrc",
        summary="MRC and REC files, one tomogram each",
        provides=frozenset({"tomograms"}),
    )

    def __init__(
        self,
        patterns: Sequence[str | Path],
        voxel_size_angstrom: float | None = None,
        runs: Sequence[str] | None = None,
    ) -> None:
        if voxel_size_angstrom is not None and not (np.isfinite(voxel_size_angstrom) and voxel_size_angstrom > 0):
            raise InputError(f"a voxel size of {voxel_size_angstrom:g} Å is not possible; give --voxel-size above zero")
        self._voxel_size_angstrom = voxel_size_angstrom
        self._paths = _by_run(patterns)
        missing = [run for run in runs or () if run not in self._paths]
        if missing:
            raise InputError(f"no file is named '{missing[0]}'; there are {', '.join(list(self._paths)[:10])}")
        self._runs = [run for run in self._paths if not runs or run in runs]

    def runs(self) -> list[str]:
        """Return the names of the runs, sorted by path."""
        return list(self._runs)

    def tomogram(self, run: str) -> Tomogram:
        """Return the tomogram of ``run``; its voxels stay on disk until they are read.

        Raises
        ------
        InputError
            If the file is damaged or states no usable voxel size.
        """
        path = self._paths[run]
        layout = read_layout(path)
        voxels = np.memmap(path, dtype=layout.dtype, mode="r", offset=layout.offset, shape=layout.shape)
        return Tomogram(
            run=run,
            volume=ArrayVolume(voxels),
            voxel_size_angstrom=self._voxel_size_angstrom or voxel_size_of(path, layout),
            tomogram_type=path.suffix.lstrip(".") or "mrc",
            source=str(path.absolute()),
        )

    def signature(self, run: str) -> str:
        """Return a short text that changes when the file changes size or time, or another voxel size is given."""
        state = self._paths[run].stat()
        facts = f"{self._paths[run].resolve()} {state.st_size} {state.st_mtime_ns} {self._voxel_size_angstrom}"
        return hashlib.sha256(facts.encode()).hexdigest()[:32]

    def particle_names(self) -> None:
        """Files name no particles."""
        return

    def reference_picks(self, run: str) -> Picks | None:
        """Return None: MRC files carry no annotations."""
        return None


def _by_run(patterns: Sequence[str | Path]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for pattern in patterns:
        found = sorted(glob(str(pattern), recursive=True)) or ([str(pattern)] if Path(pattern).exists() else [])
        if not found:
            raise InputError(f"no file fits '{pattern}'; give MRC or REC files")
        for path in (Path(name) for name in found):
            if path.is_dir():
                raise InputError(f"{path} is a folder; give the files in it, such as '{path}/*.mrc'")
            run = path.stem
            check_run_name(run, str(path))
            if paths.get(run, path).resolve() != path.resolve():
                raise InputError(f"{paths[run]} and {path} would both be run '{run}'; rename one of them")
            paths[run] = path
    if not paths:
        raise InputError("no MRC files were given; give MRC or REC files")
    return paths
