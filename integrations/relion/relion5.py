"""Particles for a RELION project: all species in one file, a file for each, and optimisation sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.frames import FrameFacts, PickedTomogram, frames_of, known_tomograms
from cryosiam.integrations.handoff.names import match_names
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, write_particles
from cryosiam.integrations.star.star_sink import StarSink
from cryosiam.ports import Capabilities, ProductKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.integrations.star.frame import TomogramFrame

NEEDED: Final = (
    "relion5/particles.star needs the unbinned tomogram size: give --tomograms-star FILE, "
    "or --tilt-series-pixel-size Å and --tomogram-size X,Y,Z"
)
_SHOWN: Final = 5


class Relion5Sink(StarSink):
    """Write ``particles.star`` of all species, ``<species>.star`` of each, and their optimisation sets.

    ``rlnCenteredCoordinate*Angst = (i*b - N/2.0)*a``: the unbinned size ``N`` and the pixel size ``a`` of the tilt
    series must be known, from RELION's tomograms.star or from options that hold for all runs. Columns are in
    ``schemas/star/relion5.yaml``. Optimisation sets name the tomograms.star, so they are written where one was given.

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
    folder
        Folder of the files; by default one in the results folder, named as the dialect.
    project_root
        Folder that RELION runs in: paths in the optimisation sets are relative to it. By default the current one.

    Raises
    ------
    InputError
        If the facts are missing, incomplete or impossible.
    """

    dialect_name: ClassVar = "relion5"
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
        project_root: Path | None = None,
    ) -> None:
        super().__init__(out_dir)
        self.folder = self.out_dir / self.dialect_name if folder is None else folder
        self._root = project_root or Path.cwd()
        self._facts = FrameFacts(
            tomograms_star=None if tomograms_star is None else Path(tomograms_star),
            tilt_series_pixel_size_angstrom=tilt_series_pixel_size_angstrom,
            tomogram_size_xyz=tomogram_size_xyz,
            binned_by_averaging=binned_by_averaging,
        )
        if tomograms_star is None and None in (tilt_series_pixel_size_angstrom, tomogram_size_xyz):
            raise InputError(NEEDED)
        self._known = known_tomograms(self._facts, ())
        self._frames: dict[str, TomogramFrame] = {}

    @classmethod
    def from_options(
        cls,
        out_dir: Path | str,
        tomograms_star: Path | str | None = None,
        tilt_series_pixel_size_angstrom: float | None = None,
        tomogram_size_xyz: tuple[int, int, int] | None = None,
        binned_by_averaging: int = 1,
        folder: Path | None = None,
        project_root: Path | None = None,
    ) -> Self | str:
        """Return the sink, or where no option was given the sentence that says which ones make the files.

        Raises
        ------
        InputError
            If options are given but incomplete or impossible.
        """
        facts = (tomograms_star, tilt_series_pixel_size_angstrom, tomogram_size_xyz)
        if facts == (None, None, None) and binned_by_averaging == 1:
            return NEEDED
        return cls(out_dir, *facts, binned_by_averaging, folder, project_root)

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Find out before the work whether the files can be written.

        Raises
        ------
        InputError
            If a run is not in tomograms.star, or has a name that STAR files cannot carry.
        StorageError
            If the folder cannot be written.
        """
        super().check(runs, key)
        if self._known is None:
            return
        matches = match_names(runs, self._known, self._facts.where)
        stray = next((run for run in runs if run not in matches), None)
        if stray is not None:
            names = ", ".join(sorted(tomogram.name for tomogram in self._known)[:_SHOWN])
            raise InputError(
                f"run '{stray}' is not in {self._facts.where} (there: {names}); pick without it, and hand over by "
                f"'cryosiam export --name {stray}=NAME'"
            )

    def write_picks(self, tomogram: Tomogram, picks: Picks, key: ProductKey) -> list[str]:
        """Keep the picks of one run for `finish`.

        Raises
        ------
        InputError
            If the tomogram is not as large as the unbinned one, so that their centres differ by an unknown amount.
        """
        z, y, x = tomogram.shape
        picked = PickedTomogram(tomogram.run, tomogram.voxel_size_angstrom, (x, y, z), tomogram.source)
        self._frames.update(frames_of([picked], self._facts, self._known).by_run)
        return super().write_picks(tomogram, picks, key)

    def finish(self, key: ProductKey) -> list[str]:
        """Write the files and return their paths and what they cannot hold, or why there are none.

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        dialect = load_dialect(self.dialect_name)
        kept = [FramedPicks(self._frames[tomogram.run], picks) for tomogram, picks in self._kept()]
        if not kept:
            return self._without_picks(self.folder / "particles.star")
        written = [
            write_particles(
                self.folder,
                dialect,
                kept,
                one_file=one_file,
                project_root=self._root,
                tomograms_star=self._facts.tomograms_star,
            )
            for one_file in (True, False)
        ]
        paths = [str(path) for part in written for path in part.paths]
        return [*paths, *dict.fromkeys(sentence for part in written for sentence in part.lost)]
