"""A RELION project of balls, as Reconstruct Tomograms leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

BINNING = 4.0
PIXEL_SIZE_ANGSTROM = 2.5
"""Of the tilt series; tomograms have voxels of 10 Å."""
SHAPE = (48, 64, 72)
SMALL_SHAPE = (24, 56, 64)


def centres(seed: int, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return centres (z, y, x) in voxels of balls that do not touch."""
    rng = np.random.default_rng(seed)
    found: list[NDArray[np.float64]] = []
    for _ in range(500):
        trial = rng.uniform(10, np.array(shape) - 11)
        if all(np.linalg.norm(trial - other) > 20 for other in found):
            found.append(trial)
    return np.array(found)


class RelionProject:
    """A RELION project in a folder: ``Tomograms/job006/tomograms.star`` and the tomograms that it names.

    Parameters
    ----------
    folder
        The project.
    ball_volume
        Makes a volume of balls (the fixture of that name).
    runs
        Names of the tomograms.
    shape
        Size (z, y, x) in voxels.
    """

    def __init__(
        self, folder: Path, ball_volume: Any, runs: tuple[str, ...] = ("TS_01",), shape: tuple[int, int, int] = SHAPE
    ) -> None:
        self.folder = folder
        self.shape = shape
        self.job = folder / "Tomograms" / "job006"
        (self.job / "tomograms").mkdir(parents=True)
        self.truth = {run: centres(seed, shape) for seed, run in enumerate(runs)}
        for seed, (run, places) in enumerate(self.truth.items()):
            radii = np.where(np.arange(len(places)) % 2 == 0, 4.0, 7.0)
            self.write_volume(f"rec_{run}", ball_volume(shape, places, radii, seed))
        self.write_star({"rlnTomoReconstructedTomogram": "rec_{run}"})

    @property
    def star(self) -> Path:
        return self.job / "tomograms.star"

    def volume(self, name: str) -> Path:
        return self.job / "tomograms" / f"{name}.mrc"

    def write_volume(self, name: str, volume: NDArray[Any], voxel_size: float = PIXEL_SIZE_ANGSTROM * BINNING) -> Path:
        path = self.volume(name)
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(volume)
            file.voxel_size = voxel_size
        return path

    def write_star(self, files: dict[str, str], without: tuple[str, ...] = (), **changes: str) -> None:
        """Write tomograms.star; ``files`` are columns of paths, with the run's name for ``{run}``."""
        z, y, x = (int(size * BINNING) for size in self.shape)
        columns = {
            "rlnTomoName": "{run}",
            "rlnTomoTiltSeriesStarFile": "Tomograms/job006/tilt_series/{run}.star",
            "rlnVoltage": "300.0",
            "rlnSphericalAberration": "2.7",
            "rlnAmplitudeContrast": "0.1",
            "rlnMicrographOriginalPixelSize": "0.675",
            "rlnTomoHand": "-1.0",
            "rlnOpticsGroupName": "opticsGroup1",
            "rlnTomoTiltSeriesPixelSize": f"{PIXEL_SIZE_ANGSTROM}",
            "rlnTomoTomogramBinning": f"{BINNING}",
            "rlnTomoSizeX": f"{x}",
            "rlnTomoSizeY": f"{y}",
            "rlnTomoSizeZ": f"{z}",
            **{column: f"Tomograms/job006/tomograms/{name}.mrc" for column, name in files.items()},
            **changes,
        }
        kept = {name: text for name, text in columns.items() if name not in without}
        head = [f"_{name} #{number}" for number, name in enumerate(kept, start=1)]
        rows = [" ".join(text.format(run=run) for text in kept.values()) for run in self.truth]
        self.star.write_text("\n# version 30001\n\ndata_global\n\nloop_\n" + "\n".join([*head, *rows]) + "\n\n")
