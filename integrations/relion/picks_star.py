"""``picks.star``: all picks in voxels of the tomogram they were picked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, write_particles
from cryosiam.integrations.star.frame import TomogramFrame
from cryosiam.integrations.star.star_sink import StarSink
from cryosiam.ports import Capabilities

if TYPE_CHECKING:
    from cryosiam.ports import ProductKey


class PicksStarSink(StarSink):
    """Write ``picks.star``, one table for all runs.

    Coordinates are 0-based tomogram voxels; what is in the columns is in ``schemas/star/picks.yaml``.

    Parameters
    ----------
    out_dir
        Results folder.
    """

    capabilities = Capabilities(
        name="star",
        summary="picks.star: picks in tomogram voxels, with score and class",
        accepts=frozenset({"picks", "scores", "classes", "orientations"}),
    )

    def finish(self, key: ProductKey) -> list[str]:
        """Write the file and return its path, or why there is none.

        Raises
        ------
        InputError
            If a name cannot stand in a STAR file.
        StorageError
            If it cannot be written.
        """
        dialect = load_dialect("picks")
        sets = [
            FramedPicks(TomogramFrame(tomogram.run, tomogram.run, tomogram.voxel_size_angstrom), picks)
            for tomogram, picks in self._kept()
        ]
        if not sets:
            return self._without_picks(self.out_dir / dialect.file)
        return [str(path) for path in write_particles(self.out_dir, dialect, sets).paths]
