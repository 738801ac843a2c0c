"""Measure `cryosiam simulate`: time and memory of a benchmark tomogram, training patches, physics, and packing.

    python benchmarks/bench_simulation.py --structures data

prints tables and writes them to ``benchmarks/simulation.md``. ``data`` holds the folders ``structures`` and ``maps``
of the benchmark's species. Each tomogram is made in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from cryosiam.simulation.benchmark import choose
from cryosiam.simulation.build import build_specimen, species_wanted
from cryosiam.simulation.canvas import Canvas
from cryosiam.simulation.crowding import fill
from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.patches import PatchStream
from cryosiam.simulation.microscope.imaging import take_tilt_series
from cryosiam.simulation.microscope.reconstruction import reconstruct_volumes
from cryosiam.simulation.sources import load_all
from cryosiam.simulation.spec import SimulationSpec, read_spec

OUT = Path(__file__).with_name("simulation.md")
MEDIUM_VOXELS = (900, 2000)
"""Of the medium size class, in voxels at 6.8 Å (docs/simulation.md)."""


class Clock:
    """Wall and processor seconds of the parts of a job."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float]] = {}
        self._start()

    def _start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, part: str) -> None:
        """Note the time since the last part."""
        self.parts[part] = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._start()


def peak_gib() -> float:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_tomogram(name: str, structures: Path) -> dict[str, Any]:
    """Make a tomogram of the benchmark and return times, memory and contents."""
    one = choose([name])[0]
    spec = one.spec.for_seed(one.seed)
    clock = Clock()
    species = load_all(species_wanted(spec), spec.voxel_size_angstrom, structures_dir=structures)
    clock.stop("structures (cached)")
    specimen = build_specimen(spec, species, one.seed)
    clock.stop("specimen")
    built = peak_gib()
    lean = _only_noisy(spec)
    series = take_tilt_series(specimen, lean, np.random.default_rng(one.seed))
    reconstruct_volumes(series, lean, spec.shape_zyx)
    clock.stop("exact: tilt images and one volume")
    series = take_tilt_series(specimen, spec, np.random.default_rng(one.seed))
    reconstruct_volumes(series, spec, spec.shape_zyx)
    del series
    clock.stop("exact: with corrected volume and halves")
    exact = peak_gib()
    FastMicroscope(lean).image(specimen.density + specimen.unlabelled, np.random.default_rng(one.seed))
    clock.stop("fast: one volume")
    return {
        "parts": clock.parts,
        "peaks": (built, exact, peak_gib()),
        "particles": len(specimen.picks),
        "species": len(set(specimen.picks.class_names)),
        "occupancy": specimen.occupancy,
    }


def _only_noisy(spec: SimulationSpec) -> SimulationSpec:
    content = spec.model_dump()
    content["microscope"]["reconstruction"].update(corrected_volume=False, halves=False)
    return SimulationSpec.model_validate(content)


def measure_patches(count: int) -> float:
    """Return training patches per second: 64^3, all targets, microscopes drawn anew, two workers."""
    spec = read_spec("demo")
    specimen = build_specimen(spec, load_all(species_wanted(spec), spec.voxel_size_angstrom), 1)
    stream = PatchStream([specimen], spec, batch=4, workers=2)
    batches = iter(stream)
    next(batches)
    start = time.perf_counter()
    for _ in range(count // 4):
        next(batches)
    return 4 * (count // 4) / (time.perf_counter() - start)


def measure_packing(structures: Path) -> list[str]:
    """Return rows of a table: occupancy asked and reached."""
    general = read_spec("general")
    species = load_all(general.specimen.species, general.voxel_size_angstrom, structures_dir=structures)
    soluble = [(one, species[one.name]) for one in general.specimen.species if not one.membrane]
    medium = [pair for pair in soluble if MEDIUM_VOXELS[0] <= pair[1].volume_voxels <= MEDIUM_VOXELS[1]]
    rows = []
    for title, chosen in (("general", soluble), ("medium", medium)):
        for asked in (0.3, 0.5, 0.65, 0.8):
            sample = np.zeros((120, 200, 200), np.bool_)
            sample[5:115] = True
            start = time.process_time()
            reached = fill(Canvas.of_sample(sample, 6.8), chosen, asked, 1, np.random.default_rng(9))
            rows.append(
                f"| {title} ({len(chosen)} species) | {asked} | {reached.occupancy_reached:.3f} | {len(reached)} | "
                f"{time.process_time() - start:.0f} s |"
            )
    return rows


def physics_rows() -> list[str]:
    """Return rows of a table: physics against theory."""
    import simulation_physics as physics

    return [
        f"| Thon zeros of carbon, counted K2 image: largest error | within 1 % | {physics.thon_error(0):.2%} |",
        f"| the same with a phase plate of 90° | within 1 % | {physics.thon_error(90):.2%} |",
        "| energy outside the tilted planes before noise: blobs of sigma 1, 2, 4 voxels | under 1e-6 | "
        + ", ".join(f"{physics.energy_outside_wedge(sigma):.1e}" for sigma in (1, 2, 4))
        + " |",
        f"| projected bead, 3 places, 41 tilts | within 0.05 pixel | {physics.bead_error():.4f} pixel |",
        f"| signal-to-noise ratio, 5 tilts, 3 doses | within 5 % | {physics.signal_to_noise_error():.1%} |",
    ]


def machine() -> str:
    """Describe the machine in one line."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}; "
        f"load before the start {os.getloadavg()[0]:.1f}"
    )


def report(structures: Path, names: list[str]) -> list[str]:
    """Measure everything; return the lines of the report."""
    lines = [
        "# Simulation: time, memory, physics",
        "",
        "`python benchmarks/bench_simulation.py --structures data` printed this.",
        "",
        machine(),
        "",
    ]
    for name in names:
        print(f"making {name}", flush=True)
        command = [sys.executable, __file__, "--structures", str(structures), "--one", name]
        done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        spec = choose([name])[0].spec
        size = " x ".join(map(str, spec.shape_zyx))
        lines += [
            f"{name}: {size} voxels of {spec.voxel_size_angstrom:g} Å, {done['particles']} particles of "
            f"{done['species']} species, occupancy {done['occupancy']:.3f}",
            "",
            "| part | wall | all cores' time |",
            "| --- | --- | --- |",
            *(f"| {part} | {wall:.1f} s | {cpu:.1f} s |" for part, (wall, cpu) in done["parts"].items()),
            "",
            "Peak memory: "
            + ", ".join(
                f"{peak:.2f} GiB {when}"
                for peak, when in zip(
                    done["peaks"], ("with the specimen", "on the exact path", "after the fast path"), strict=True
                )
            ),
            "",
        ]
    print("patches", flush=True)
    lines += ["| what | bar | measured |", "| --- | --- | --- |"]
    lines += [
        f"| fast path, training patches of 64^3 with all targets | over 30 per second | {measure_patches(120):.0f} |"
    ]
    print("physics", flush=True)
    lines += physics_rows()
    print("packing", flush=True)
    lines += [
        "",
        "Share of the free space that particle masks fill (110 x 200 x 200 voxels of 6.8 Å, no membranes):",
        "",
        "| species | asked | reached | particles | all cores' time |",
        "| --- | --- | --- | --- | --- |",
        *measure_packing(structures),
        "",
    ]
    return lines


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path, required=True, help="folder with 'structures' and 'maps'")
    parser.add_argument("--tomograms", default="G1,G4", help="names of the benchmark's tomograms (default: G1,G4)")
    parser.add_argument("--out", type=Path, default=OUT, help="report (default: beside this script)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_tomogram(options.one, options.structures)))
        return
    lines = report(options.structures, options.tomograms.split(","))
    print("\n".join(lines))
    options.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
