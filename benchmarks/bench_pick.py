"""Measure `cryosiam pick` as a user runs it: time and memory of a whole tomogram, and how right the demo is.

    python benchmarks/bench_pick.py

prints a table and writes it to ``benchmarks/pick.md``. The installed command runs in processes of its own, so
starting Python, reading and writing are all counted. The large volumes are one simulated scene and its mirror
images side by side: as crowded as the scene, without seams, and made in a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from cryosiam.simulation.build import species_wanted
from cryosiam.simulation.run import simulate
from cryosiam.simulation.sources import load_all
from cryosiam.simulation.spec import read_spec

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parents[1] / "examples"
VOXEL_SIZE_ANGSTROM = 10.0
SAMPLING_SECONDS = 0.02
HELP_REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """What a command took: wall and processor time, and the largest memory of its process and those it started."""

    seconds: float
    cpu_seconds: float
    peak_memory_gib: float


def run_measured(command: list[str]) -> Cost:
    """Run a command and measure it.

    Raises
    ------
    SystemExit
        If the command fails; its output is shown.
    """
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        with sampled_memory(process.pid) as sampled:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read()}")
    # Not the kernel's ru_maxrss: a new process inherits in it the peak of this one, which has held the volumes.
    return Cost(seconds, usage.ru_utime + usage.ru_stime, max(sampled, default=0) / 2**30)


@contextmanager
def sampled_memory(pid: int) -> Iterator[list[int]]:
    """Collect the resident bytes of a process and its descendants, summed, while the block runs."""
    samples: list[int] = []
    done = threading.Event()

    def sample() -> None:
        root = psutil.Process(pid)
        while not done.wait(SAMPLING_SECONDS):
            total = 0
            try:
                for process in (root, *root.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            samples.append(total)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def mirrored(scene: NDArray[np.float32], shape_zyx: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a volume of ``shape_zyx`` filled with a scene and its mirror images."""
    return np.pad(scene, [(0, size - given) for size, given in zip(shape_zyx, scene.shape, strict=True)], "symmetric")


def make_project(folder: Path, volume: NDArray[np.float32]) -> Path:
    """Write a copick project with one tomogram; return its file."""
    import copick

    folder.mkdir(parents=True)
    project = folder / "project.json"
    content = {
        "config_type": "filesystem",
        "name": "benchmark",
        "description": "One simulated tomogram",
        "version": "1.0.0",
        "pickable_objects": [],
        "overlay_root": f"local://{folder / 'overlay'}",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    project.write_text(json.dumps(content))
    run = copick.from_file(str(project)).new_run("benchmark")
    run.new_voxel_spacing(VOXEL_SIZE_ANGSTROM).new_tomogram("wbp").from_numpy(volume, levels=1)
    return project


def measure_pick(folder: Path, volume: NDArray[np.float32], weights: str) -> tuple[Cost, dict[str, Any]]:
    """Pick one volume; return the cost and the manifest's record of the run."""
    project = make_project(folder, volume)
    command = [str(BIN / "cryosiam"), "pick", "--copick", str(project), "--weights", weights, "--quiet"]
    cost = run_measured([*command, "--out", str(folder / "results")])
    manifest = json.loads((folder / "results" / "manifest.json").read_text())
    return cost, manifest["runs"]["benchmark"]


def measure_help() -> float:
    """Return the median time of `cryosiam --help` in seconds, files in the cache."""
    times = [run_measured([str(BIN / "cryosiam"), "--help"]).seconds for _ in range(HELP_REPEATS + 1)]
    return statistics.median(times[1:])


def measure_demo(folder: Path, runs: int, seed: int, weights: str) -> dict[str, Any]:
    """Make the demo project, pick it, and return what `cryosiam evaluate` finds of the picks."""
    project = folder / "project.json"
    shape = ["--runs", str(runs), "--seed", str(seed)]
    run_measured([sys.executable, str(EXAMPLES / "make_demo_project.py"), "--out", str(folder), *shape])
    run_measured([str(BIN / "cryosiam"), "pick", "--copick", str(project), "--weights", weights, "--quiet"])
    run_measured([str(BIN / "cryosiam"), "evaluate", "--copick", str(project), "--quiet"])
    evaluation = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    picks: dict[str, Any] = evaluation["picks"]
    return picks


def picks_table(picks: dict[str, Any]) -> list[str]:
    """Return the figures of picks as a table, one row per species."""
    keys = ("truth", "picked", "matched", "precision", "recall", "f1")
    lines = ["| species | true | picked | found | precision | recall | F1 |", "| --- |" + " ---: |" * len(keys)]
    for name, figures in {"all species together": picks["together"], **picks["species"]}.items():
        values = [figures[key] for key in keys]
        texts = ["-" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in values]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return lines


def machine() -> str:
    """Describe the machine in one line."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # Not Linux: the processor's general name will do.
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"Python {platform.python_version()}, torch {version('torch')}; load before the start {os.getloadavg()[0]:.1f}"
    )


def times(cost: Cost) -> str:
    """Return wall and processor time in words; on a busy machine only the second tells what the work needs."""
    return f"{cost.seconds:.0f} s ({cost.cpu_seconds:.0f} s)"


def size(shape_zyx: tuple[int, ...]) -> str:
    """Return a shape in words."""
    return " x ".join(map(str, shape_zyx))


def measure_all(options: argparse.Namespace, folder: Path) -> list[str]:
    """Measure everything that the options ask for; return the lines of the report."""
    shape: tuple[int, int, int] = tuple(options.shape)
    deep = (2 * shape[0], *shape[1:])
    about = machine()
    scene_shape = (shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
    # Twice as deep, the mirror image adds a second sample of the same thickness.
    recipe = read_spec("demo").model_copy(update={"shape_zyx": scene_shape})
    print(f"simulating a scene of {size(scene_shape)} voxels", flush=True)
    scene = simulate(recipe, load_all(species_wanted(recipe), VOXEL_SIZE_ANGSTROM), options.seed).noisy

    print(f"picking {size(shape)} voxels", flush=True)
    cost, record = measure_pick(folder / "once", mirrored(scene, shape), options.weights)
    records = {size(shape): record}
    rows = [
        (f"`pick`, one {size(shape)} tomogram at 10 Å, all stages, wall (all cores' time)", times(cost)),
        ("peak memory of that, whole process", f"{cost.peak_memory_gib:.2f} GiB"),
    ]
    if not options.skip_deep:
        print(f"picking {size(deep)} voxels", flush=True)
        twice, records[size(deep)] = measure_pick(folder / "deep", mirrored(scene, deep), options.weights)
        growth = twice.peak_memory_gib / cost.peak_memory_gib - 1
        rows += [
            (f"`pick`, {size(deep)} (twice as deep), wall (all cores' time)", times(twice)),
            ("peak memory of that", f"{twice.peak_memory_gib:.2f} GiB ({growth:+.0%})"),
        ]
    print("measuring help and the demo", flush=True)
    rows.append((f"`cryosiam --help`, median of {HELP_REPEATS}", f"{measure_help():.2f} s"))
    demo = measure_demo(folder / "demo", options.demo_runs, options.demo_seed, options.weights)
    rows.append(
        (f"demo, {options.demo_runs} unseen tomograms: F1, all species together", f"{demo['together']['f1']:.3f}")
    )

    report = ["# Picking: time, memory, accuracy", "", f"`python {' '.join(sys.argv)}` printed this.", "", about, ""]
    report += ["| what | measured |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in rows), ""]
    report += ["Where time and memory go:", "", *stage_table(records), ""]
    report += ["How many particles of the demo are found (a hit is nearer than half the radius):", ""]
    return [*report, *picks_table(demo), ""]


def stage_table(records: dict[str, dict[str, Any]]) -> list[str]:
    """Return the manifest's seconds and memory per stage and product as a table, two columns per volume."""
    lines = [
        "| stage or product |" + "".join(f" {name}: s | peak GiB |" for name in records),
        "| --- |" + " ---: | ---: |" * len(records),
    ]
    for part in ("stages", "products"):
        for name in next(iter(records.values()))[part]:
            entries = [record[part][name] for record in records.values()]
            cells = "".join(f" {e['seconds']:.1f} | {e['peak_memory_mib'] / 1024:.2f} |" for e in entries)
            lines.append(f"| {name} ({'stage' if part == 'stages' else 'written'}) |{cells}")
    return lines


def main() -> None:
    """Run the benchmark that the options describe."""
    parser = argparse.ArgumentParser(description="Measure `cryosiam pick`.")
    parser.add_argument("--shape", type=int, nargs=3, default=(184, 630, 630), metavar=("Z", "Y", "X"))
    parser.add_argument("--skip-deep", action="store_true", help="leave the volume twice as deep out")
    parser.add_argument("--seed", type=int, default=9301, help="of the simulated scene")
    parser.add_argument("--demo-runs", type=int, default=4, help="tomograms of the demo project")
    parser.add_argument("--demo-seed", type=int, default=9101, help="of its first tomogram; training stays below 9100")
    parser.add_argument("--weights", default="light")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pick.md"), help="the report")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-pick-") as folder:
        report = measure_all(options, Path(folder))
    options.out.write_text("\n".join(report))
    print("\n".join(report))


if __name__ == "__main__":
    main()
