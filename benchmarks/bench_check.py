"""How often ``cryosiam check`` finds a mistake by the density, and how often it sees one that is not there.

Simulated tomograms with known particles (noisy, reconstructed by back-projection), and a real tomogram in which the
darkest spots are taken for particles. Every set of particles is put into the tomogram as it is, after each common
mistake, and at random.

    python benchmarks/bench_check.py PROJECT_JSON... [--real MRC] [--out benchmarks/check.md]

A project is one that ``cryosiam simulate run demo --out FOLDER --runs 3`` wrote.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray

from cryosiam.integrations.star.check.density import Particles, likely_mistake, weigh
from cryosiam.integrations.star.check.offset import offset_of
from cryosiam.integrations.star.check.volumes import OpenVolume, open_volume

Places = NDArray[np.float64]
COUNTS = (30, 100)
RANDOM_SETS = 5

MISTAKES: dict[str, tuple[str, Callable[[Places, Places], Places]]] = {
    "z mirrored": ("mirrored along z", lambda v, n: np.column_stack([v[:, 0], v[:, 1], n[2] - 1 - v[:, 2]])),
    "x mirrored": ("mirrored along x", lambda v, n: np.column_stack([n[0] - 1 - v[:, 0], v[:, 1], v[:, 2]])),
    "y mirrored": ("mirrored along y", lambda v, n: np.column_stack([v[:, 0], n[1] - 1 - v[:, 1], v[:, 2]])),
    "x and y exchanged": ("with x and y exchanged", lambda v, n: v[:, [1, 0, 2]]),
    "y and z exchanged": ("with y and z exchanged", lambda v, n: v[:, [0, 2, 1]]),
    "from the centre, read from the corner": ("moved by half the tomogram's size away from 0", lambda v, n: v - n / 2),
    "from the corner, read from the centre": ("moved by half the tomogram's size towards 0", lambda v, n: v + n / 2),
    "binned by 2 more": ("multiplied by 2", lambda v, n: v / 2),
    "binned by 4 more": ("multiplied by 4", lambda v, n: v / 4),
    "binned by 2 less": ("multiplied by 0.5", lambda v, n: v * 2),
}


def simulated(project: Path) -> Iterator[tuple[str, OpenVolume, Places]]:
    """Give the noisy tomogram and the true places, in voxels, of every species of every run."""
    import zarr

    runs = project.parent / "overlay" / "ExperimentRuns"
    for run in sorted(runs.iterdir()):
        spacing = next(run.glob("VoxelSpacing*"))
        voxel_size = float(spacing.name.removeprefix("VoxelSpacing"))
        voxels = zarr.open(str(spacing / "wbp.zarr"), mode="r")["0"][:]
        with tempfile.TemporaryDirectory() as folder:
            volume = written(Path(folder) / "tomogram.mrc", voxels, voxel_size)
            for picks in sorted((run / "Picks").glob("truth_1_*.json")):
                points = json.loads(picks.read_text())["points"]
                places = np.array([[point["location"][axis] for axis in "xyz"] for point in points]).reshape(-1, 3)
                yield f"{run.name} {picks.stem.split('_')[-1]}", volume, places / voxel_size


def written(path: Path, voxels: NDArray[np.generic], voxel_size: float) -> OpenVolume:
    """Write voxels as MRC and open the file."""
    with mrcfile.new(path) as mrc:
        mrc.set_data(voxels.astype(np.float32))
        mrc.voxel_size = voxel_size
    return open_volume(path)


def darkest(volume: OpenVolume, count: int) -> Places:
    """Return the darkest spots of a tomogram, in voxels (x, y, z)."""
    from scipy.ndimage import gaussian_filter, minimum_filter

    smooth = gaussian_filter(np.asarray(volume.voxels, dtype=np.float32), 100 / volume.voxel_size_angstrom / 2)
    spots = np.argwhere(smooth == minimum_filter(smooth, int(300 / volume.voxel_size_angstrom) | 1))
    order = np.argsort(smooth[tuple(spots.T)])[:count]
    return spots[order][:, ::-1].astype(np.float64)


def verdict(volume: OpenVolume, voxels: Places) -> str | None:
    """Return the mistake that the density speaks for, or None."""
    particles = Particles(volume, voxels * volume.voxel_size_angstrom, False, 4.0, volume.voxel_size_angstrom / 4)
    found = likely_mistake(weigh([particles]))
    return None if found is None else found.reading


class Tally:
    """Counts of right, wrong and no answers."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])

    def take(self, what: str, count: str, answer: str | None, truth: str | None) -> None:
        """Count an answer."""
        self.rows[what, count][2 if answer is None else 0 if answer == truth else 1] += 1


def measure(sets: Iterator[tuple[str, OpenVolume, Places]], tally: Tally, offsets: list[float]) -> None:
    """Put every mistake into every set of particles and count the answers."""
    for name, volume, voxels in sets:
        size = np.array(volume.size_xyz, dtype=np.float64)
        for wanted in COUNTS:
            if len(voxels) < wanted:
                continue
            rng = np.random.default_rng(wanted)
            some = voxels[rng.choice(len(voxels), wanted, replace=False)]
            spoilt = some.copy()
            spoilt[::2] = rng.uniform(0, 1, spoilt[::2].shape) * size
            for _ in range(RANDOM_SETS):
                at_random = rng.uniform(0, 1, some.shape) * size
                tally.take("none: places at random", str(wanted), verdict(volume, at_random), None)
            for key, places in ((str(wanted), some), (f"{wanted}, half of them false", spoilt)):
                tally.take("none: particles as they are", key, verdict(volume, places), None)
                for what, (truth, make) in MISTAKES.items():
                    tally.take(what, key, verdict(volume, make(places, size)), truth)
        offset = offset_of([Particles(volume, voxels * volume.voxel_size_angstrom, False, 4.0, 2.5)])
        if offset is not None:
            offsets.append(float(np.linalg.norm(offset.angstrom)))
        print(name, len(voxels), offset, flush=True)


def table(tally: Tally) -> str:
    """Return the counts as a table: a row for each mistake, a column for each number of particles."""
    counts = sorted({count for _, count in tally.rows}, key=lambda count: (len(count), count))
    lines = [f"| mistake | {' | '.join(counts)} |", f"| --- |{' --- |' * len(counts)}"]
    for what in dict.fromkeys(what for what, _ in tally.rows):
        cells = [_cell(what, tally.rows.get((what, count))) for count in counts]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(what: str, answers: list[int] | None) -> str:
    if answers is None:
        return ""
    right, wrong, silent = answers
    good = silent if what.startswith("none") else right
    return f"{good} of {sum(answers)}" + (f", {wrong} wrong" if wrong else "")


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("projects", nargs="+", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("check.md"))
    options = parser.parse_args()
    start = time.process_time()
    tally, offsets, real = Tally(), [], Tally()
    for project in options.projects:
        measure(simulated(project), tally, offsets)
    if options.real is not None:
        volume = open_volume(options.real)
        measure(iter([(options.real.name, volume, darkest(volume, 400))]), real, [])
    checks = sum(sum(row) for row in (*tally.rows.values(), *real.rows.values()))
    seconds = (time.process_time() - start) / max(1, checks)
    options.out.write_text(
        "# Mistakes that `cryosiam check` finds by the density\n\n"
        "Made by `benchmarks/bench_check.py`. Columns are numbers of particles; in some, half of them are at random "
        "places.\nA mistake counts where it was named. In the rows `none` nothing should be reported, and counts where "
        "nothing was.\n\n"
        f"## Simulated tomograms, true particles\n\n{table(tally)}\n\n"
        "The density's centre lay "
        f"{np.median(offsets):.1f} Å (median; most {max(offsets):.1f} Å, {len(offsets)} sets) from the true places.\n"
        + (
            ""
            if options.real is None
            else f"\n## {options.real.name}: a real tomogram, its darkest spots\n\n{table(real)}\n"
        )
        + f"\n{seconds:.1f} CPU-seconds for one check.\n"
    )


if __name__ == "__main__":
    main()
