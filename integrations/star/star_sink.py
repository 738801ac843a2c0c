"""What sinks of STAR files have in common: they collect picks and write one file at the end."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.integrations.run_names import check_run_name
from cryosiam.integrations.writable import refuse_read_only

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.domain.tomogram import Volume
    from cryosiam.ports import ProductKey


class StarSink:
    """Base of the sinks that write one STAR file for all runs.

    `write_picks` keeps the picks of a run; `finish` writes the file, whole. The file is made anew each time, so it
    replaces an older one. Subclasses write it.

    Parameters
    ----------
    out_dir
        Results folder.
    """

    def __init__(self, out_dir: Path | str) -> None:
        self.out_dir = Path(out_dir)
        self._picks: dict[str, tuple[Tomogram, Picks]] = {}

    def existing(self, run: str, key: ProductKey) -> list[str]:
        """Return an empty list: the file belongs to the folder, not to a session."""
        return []

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Find out before the work whether the file can be written.

        Raises
        ------
        InputError
            If a run has a name that STAR files cannot carry.
        StorageError
            If the folder cannot be written.
        """
        for run in runs:
            check_run_name(run, str(self.out_dir), number_is_fine=True)
        refuse_read_only(self.out_dir, "give another --out")

    def write_tomogram(self, tomogram: Tomogram, key: ProductKey) -> str:
        """Write nothing: STAR files carry no volumes."""
        return ""

    def write_segmentation(self, tomogram: Tomogram, labels: Volume, names: dict[int, str], key: ProductKey) -> str:
        """Write nothing: STAR files carry no volumes."""
        return ""

    def write_instances(self, tomogram: Tomogram, labels: Volume, name: str, key: ProductKey) -> str:
        """Write nothing: STAR files carry no volumes."""
        return ""

    def write_picks(self, tomogram: Tomogram, picks: Picks, key: ProductKey) -> list[str]:
        """Keep the picks of one run for `finish`; they replace those kept before."""
        self._picks[tomogram.run] = (tomogram, picks)
        return []

    def lock(self, run: str) -> AbstractContextManager[None]:
        """Hold nothing: no file belongs to one run, and `finish` replaces the file whole."""
        return nullcontext()

    def _kept(self) -> list[tuple[Tomogram, Picks]]:
        """Return tomogram and picks of every run that has picks, in the order of the runs' names."""
        return [self._picks[run] for run in sorted(self._picks) if len(self._picks[run][1])]

    def _without_picks(self, path: Path) -> list[str]:
        """Remove an older file, which would no longer be true, and say why there is none."""
        path.unlink(missing_ok=True)
        return [f"{path} was not written because there are no picks"]
