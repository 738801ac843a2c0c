"""``picks.star``: all picks in voxels of the tomogram they were picked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.geometry import indices_from_positions
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.particle_table import common_columns
from cryosiam.integrations.star.star_sink import StarSink
from cryosiam.integrations.star.star_writer import Value, write_star
from cryosiam.ports import Capabilities, ProductKey

if TYPE_CHECKING:
    from cryosiam.domain import Picks, Tomogram


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
        StorageError
            If it cannot be written.
        """
        dialect = load_dialect("picks")
        path = self.out_dir / dialect.file
        kept = self._kept()
        if not kept:
            return self._without_picks(path)
        columns = common_columns([picks for _, picks in kept])
        for tomogram, picks in kept:
            for name, values in _place(tomogram, picks).items():
                columns.setdefault(name, []).extend(values)
        write_star(path, dialect, {"particles": columns})
        return [str(path)]


def _place(tomogram: Tomogram, picks: Picks) -> dict[str, list[Value]]:
    z, y, x = indices_from_positions(picks.positions_angstrom, tomogram.voxel_size_angstrom).T.tolist()
    return {
        "rlnTomoName": [tomogram.run] * len(picks),
        "rlnCoordinateX": x,
        "rlnCoordinateY": y,
        "rlnCoordinateZ": z,
        "cryosiamVoxelSize": [tomogram.voxel_size_angstrom] * len(picks),
    }
