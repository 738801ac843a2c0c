"""A folder of MRC files as sink of volumes."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.locks import held
from cryosiam.integrations.mrc.writer import write_mrc
from cryosiam.integrations.run_names import check_run_name
from cryosiam.integrations.volumes import largest_label
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.ports import Capabilities, ProductKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.domain.tomogram import Volume


class MrcSink:
    """Write volumes as MRC files; picks and classes go into STAR files by another sink.

    Files are ``<out>/<user>-<session>/<run>_<product>.mrc``.

    Parameters
    ----------
    out_dir
        Folder to write into.
    overwrite
        Replace files that are there.
    """

    capabilities = Capabilities(
        name="mrc",
        summary="MRC files of volumes and labels in a folder",
        accepts=frozenset({"tomograms", "segmentations", "instances"}),
    )

    def __init__(self, out_dir: Path | str, overwrite: bool = False) -> None:
        self.out_dir = Path(out_dir)
        self.overwrite = overwrite

    def existing(self, run: str, key: ProductKey) -> list[str]:
        """Return the paths of files of ``run`` already there under ``key``."""
        # No product has an underscore, but a run may: the files of TS_1 are not those of TS.
        paths = self._folder(key).glob(f"{escape(run)}_*.mrc")
        return sorted(str(path) for path in paths if "_" not in _product(path, run, key))

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Find out before the work whether the folder can be written.

        Raises
        ------
        InputError
            If a run has a name that files cannot carry.
        StorageError
            If the folder cannot be written.
        """
        for run in runs:
            check_run_name(run, str(self.out_dir), number_is_fine=True)
        refuse_read_only(self.out_dir, "give another --out")

    def write_tomogram(self, tomogram: Tomogram, key: ProductKey) -> str:
        """Write a tomogram as float32; return its path.

        Raises
        ------
        ProductExistsError
            If the file is there and overwriting was not asked for.
        StorageError
            If it cannot be written; nothing is left of it.
        """
        return self._write(tomogram, tomogram.volume, tomogram.tomogram_type, key, np.float32)

    def write_segmentation(self, tomogram: Tomogram, labels: Volume, names: dict[int, str], key: ProductKey) -> str:
        """Write the labels as they are, as bytes where they fit; return the path.

        Raises
        ------
        ProductExistsError, StorageError
            As in `write_tomogram`.
        """
        dtype = np.int8 if max(names, default=0) <= np.iinfo(np.int8).max else np.uint16
        return self._write(tomogram, labels, "semantic", key, dtype)

    def write_instances(self, tomogram: Tomogram, labels: Volume, name: str, key: ProductKey) -> str:
        """Write the ids as 16-bit whole numbers; return the path.

        Raises
        ------
        InputError
            If there are more ids than MRC can hold.
        ProductExistsError, StorageError
            As in `write_tomogram`.
        """
        largest = largest_label(labels)
        if largest > np.iinfo(np.uint16).max:
            raise InputError(
                f"run '{tomogram.run}' has instance ids up to {largest}, and MRC holds 65535; use a copick project"
            )
        return self._write(tomogram, labels, f"instances-{name}", key, np.uint16)

    def write_picks(self, tomogram: Tomogram, picks: Picks, key: ProductKey) -> list[str]:
        """Write nothing: MRC files carry no picks."""
        return []

    def finish(self, key: ProductKey) -> list[str]:
        """Do nothing: every product was written with its run."""
        return []

    def lock(self, run: str) -> AbstractContextManager[None]:
        """Hold ``run`` for this process; raise `ProjectLockedError` where another one holds it."""
        return held(self.out_dir / ".cryosiam" / "locks" / f"{run}.lock", f"run '{run}' in {self.out_dir}")

    def _folder(self, key: ProductKey) -> Path:
        return self.out_dir / f"{key.user_id}-{key.session_id}"

    def _write(self, tomogram: Tomogram, volume: Volume, what: str, key: ProductKey, dtype: type[np.generic]) -> str:
        path = self._folder(key) / f"{tomogram.run}_{what}.mrc"
        if path.exists() and not self.overwrite:
            raise ProductExistsError(f"{path} is there already; give --overwrite or another --session-id")
        write_mrc(path, volume, tomogram.voxel_size_angstrom, dtype)
        return str(path)


def _product(path: Path, run: str, key: ProductKey) -> str:
    """Return what a file of ``run`` holds, without the session that a denoised tomogram has in its name."""
    return path.stem.removeprefix(f"{run}_").removesuffix(f"-{key.user_id}-{key.session_id}")
