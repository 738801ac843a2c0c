"""Measure how fast half a million particles are written to and read from the files of every dialect.

    python benchmarks/bench_star.py

prints a table and writes it to ``benchmarks/star.md``. Each dialect has a process of its own, so that the peak memory
is its own; the picks are in it. The package starfile writes and reads the same table beside it, as a yardstick.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy.spatial.transform import Rotation

from cryosiam.domain import Picks
from cryosiam.files import write_text_whole
from cryosiam.integrations.star.dialect import DIALECTS, load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, read_particles, write_particles
from cryosiam.integrations.star.frame import Optics, TomogramFrame
from cryosiam.integrations.star.star_file import read_star

PARTICLES, TOMOGRAMS = 500_000, 250
BARS = {"write": 10.0, "read": 5.0, "peak": 2.0}
LISTS = {"relion5-import": "ribosome_list.star", "relion31": "tomos.star"}
"""File to read where the first that was written is not all of them."""
STARFILE = "starfile package"


def picked() -> list[FramedPicks]:
    """Return half a million oriented picks with scores."""
    rng = np.random.default_rng(0)
    count = PARTICLES // TOMOGRAMS
    sets = []
    for number in range(TOMOGRAMS):
        name = f"TS_{number:03d}"
        frame = TomogramFrame(
            name,
            name,
            10.0,
            (1000, 1000, 300),
            2.5,
            (4000, 4000, 1200),
            Optics("optics1", 300.0, 2.7, 0.1),
            f"Tomograms/job007/tomograms/rec_{name}.mrc",
        )
        picks = Picks(
            name,
            rng.uniform(0, 1, (count, 3)) * (10_000, 10_000, 3_000),
            rng.uniform(0, 1, count),
            ("ribosome",) * count,
            np.arange(count),
            Rotation.random(count, random_state=number).as_matrix(),
        )
        sets.append(FramedPicks(frame, picks))
    return sets


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what ``work`` returns, its seconds of CPU, and its seconds on the clock."""
    cpu, clock = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - clock


def measure(dialect: str, folder: Path) -> dict[str, float]:
    """Write and read one dialect; the figures are seconds of CPU, seconds, MB and GB."""
    sets = picked()
    frames = [entry.frame for entry in sets]
    written, write, write_clock = timed(lambda: write_particles(folder, load_dialect(dialect), sets))
    sets.clear()
    path = next((path for path in written.paths if path.name == LISTS.get(dialect)), written.paths[0])
    read, cost, read_clock = timed(lambda: read_particles(path, frames))
    assert sum(len(entry.picks) for entry in read.sets) == PARTICLES
    return {
        "size": sum(path.stat().st_size for path in written.paths) / 1e6,
        "write": write,
        "write_clock": write_clock,
        "read": cost,
        "read_clock": read_clock,
        "peak": peak_gigabytes(),
    }


def measure_starfile(folder: Path) -> dict[str, float]:
    """Let the package starfile write and read the table of RELION 5."""
    import pandas as pd
    import starfile

    source = write_particles(folder, load_dialect("relion5"), picked()).paths[0]
    block = read_star(source).block("particles")
    assert block is not None
    names = {"rlnTomoName", "rlnTomoParticleName", "cryosiamClassName"}
    table = pd.DataFrame({name: block.text(name) if name in names else block.numbers(name) for name in block.columns})
    del block
    path = folder / "starfile.star"
    _, write, write_clock = timed(lambda: starfile.write({"particles": table}, path))
    _, read, read_clock = timed(lambda: starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName"]))
    return {
        "size": path.stat().st_size / 1e6,
        "write": write,
        "write_clock": write_clock,
        "read": read,
        "read_clock": read_clock,
        "peak": peak_gigabytes(),
    }


def peak_gigabytes() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def report(results: dict[str, dict[str, float]], load: float) -> str:
    """Return the report in Markdown."""
    lines = [
        "# Particle files",
        "",
        f"Written by `bench_star.py`; {platform.python_implementation()} {platform.python_version()}, numpy "
        f"{version('numpy')}, {psutil.cpu_count()} cores, load {load:.1f} before it began.",
        "",
        f"{PARTICLES:,} oriented particles with scores in {TOMOGRAMS} tomograms, from picks to files and back. "
        f"The bars are {BARS['write']:g} s to write, {BARS['read']:g} s to read, {BARS['peak']:g} GB.",
        "",
        "| dialect | files, MB | write: CPU s | s | read: CPU s | s | peak memory, GB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, figures in results.items():
        cells = [f"{figures['size']:.0f}"]
        cells += [f"{figures[key]:.1f}" for key in ("write", "write_clock", "read", "read_clock")]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{figures['peak']:.2f}"]) + " |")
    lines += [
        "",
        f"The {STARFILE} handles the table of RELION 5 alone: to make numbers of picks, and picks of numbers, is not "
        "in its time.",
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Measure writing and reading of particle files.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("star.md"), help="the report")
    parser.add_argument("--only", choices=[*DIALECTS, STARFILE], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            work = measure_starfile if options.only == STARFILE else lambda path: measure(options.only, path)
            print(json.dumps(work(Path(folder))))
        return
    load = os.getloadavg()[0]
    results = {}
    for name in [*DIALECTS, STARFILE]:
        command = [sys.executable, __file__, "--only", name]
        results[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(name, results[name], flush=True)
    text = report(results, load)
    write_text_whole(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
