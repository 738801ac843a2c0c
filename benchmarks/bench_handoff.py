"""Measure how true the hand-off to other programs is: places, orientations, time and memory.

    python benchmarks/bench_handoff.py

prints tables and writes them to ``benchmarks/hand-off.md``. The phantoms and the programs that read our files are those
of the tests in ``tests/proof``; `make clients` installs the programs.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
# Behind the installed package: the source tree holds only part of it.
sys.path.append(str(ROOT))

from cryosiam.domain import Picks  # noqa: E402
from cryosiam.integrations.copick.library import logging_kept  # noqa: E402
from cryosiam.integrations.star.dialect import load_dialect  # noqa: E402
from cryosiam.integrations.star.exchange import FramedPicks, read_particles, write_particles  # noqa: E402
from cryosiam.integrations.star.frame import Optics, TomogramFrame  # noqa: E402
from tests.clients import client_program  # noqa: E402
from tests.proof.bead import CASES, picked, relion5_errors, relion31_errors, warp_error  # noqa: E402
from tests.proof.orientation import MISTAKES, OBJECTS, READERS, framed  # noqa: E402
from tests.proof.phantom import PIXEL_SIZE_ANGSTROM, SIZES_XYZ  # noqa: E402

PARTICLES, TOMOGRAMS = 500_000, 500
SPEED_DIALECTS = ("relion5", "warp", "relion4")
MATCH_ANGSTROM = 50.0


def readers() -> dict[str, str]:
    """Return who reads each dialect, with versions."""
    said = subprocess.run([client_program("relion_preprocess"), "--version"], capture_output=True, text=True).stdout
    return {
        "relion5": f"zarr-particle-tools {version('zarr-particle-tools')}",
        "relion31": f"RELION {said.split()[2]}",
        "warp": "Warp's rules",
    }


def bead_table(folder: Path, names: dict[str, str]) -> list[str]:
    """Return how far beads are from the middle of boxes, by reader, size and binning."""
    sets = [picked(case, folder) for case in CASES]
    relion5 = relion5_errors(folder, sets, CASES)
    lines = [
        f"| unbinned size | binning | {names['relion5']}, pixels of the tilt series | {names['relion31']}, voxels | "
        f"{names['warp']}, voxels |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for case, entry in zip(CASES, sets, strict=True):
        alone = folder / case.name
        alone.mkdir()
        (folder / f"{case.name}.mrc").rename(alone / f"{case.name}.mrc")
        how = "" if case.binning == 1 else ", voxels averaged" if case.averaged else ", reconstructed so"
        errors = (relion5[case.name], max(relion31_errors(alone, [entry])), warp_error(alone / "warp", entry, case))
        size = " x ".join(str(n) for n in case.size_xyz)
        lines.append(f"| {size} | {case.binning}{how} | " + " | ".join(f"{e:.3f}" for e in errors) + " |")
    return lines


def orientation_table(folder: Path, names: dict[str, str]) -> list[str]:
    """Return how like the object averages are, as we write and with wrong conventions."""
    conventions = {"as written": lambda entry: entry, **MISTAKES}
    lines = ["| dialect | averaged by | convention | correlation | worst blob, voxels |"]
    lines += ["| --- | --- | --- | ---: | ---: |"]
    for dialect, reader in READERS.items():
        for number, (convention, turn) in enumerate(conventions.items()):
            here = folder / f"{dialect}-{number}"
            here.mkdir()
            found = reader.likeness(here, dialect, [turn(framed(name)) for name in OBJECTS])
            worst = f"{found.worst_blob_px:.3f}" if np.isfinite(found.worst_blob_px) else "not found"
            lines.append(f"| {dialect} | {names[dialect]} | {convention} | {found.correlation:.4f} | {worst} |")
    return lines


def pick_table(folder: Path, runs: int) -> list[str]:
    """Return how far picks of the installed command lie from the truth on average, in simulated tomograms."""
    program = client_program("cryosiam")
    project = folder / "project.json"
    for command in (["simulate", "demo", "--out", folder, "--runs", runs], ["pick", "--copick", project]):
        subprocess.run([program, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    offsets = dict(_offsets(project))
    lines = [
        "| tomogram | picks with a true particle | x, Å | y, Å | z, Å |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rows in {**offsets, "all": np.concatenate(list(offsets.values()))}.items():
        error = rows.std(0) / np.sqrt(len(rows))
        cells = " | ".join(f"{m:+.2f} ± {e:.2f}" for m, e in zip(rows.mean(0), error, strict=True))
        lines.append(f"| {name} | {len(rows)} | {cells} |")
    return lines


def _offsets(project: Path) -> Iterable[tuple[str, NDArray[np.float64]]]:
    """Return every run's name and pick less truth, (n, 3) Å, of pairs that are nearest to each other."""
    from scipy.spatial import cKDTree

    with logging_kept():
        import copick

        root = copick.from_file(str(project))
    for run in root.runs:
        found, true = (
            np.concatenate([points for entry in run.get_picks(user_id=user) if len(points := entry.numpy()[0])])
            for user in ("cryosiam", "truth")
        )
        distance, nearest = cKDTree(true).query(found)
        _, back = cKDTree(found).query(true)
        mutual = (back[nearest] == np.arange(len(found))) & (distance < MATCH_ANGSTROM)
        yield run.name, found[mutual] - true[nearest[mutual]]


def large_sets() -> list[FramedPicks]:
    """Return half a million oriented picks."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    count = PARTICLES // TOMOGRAMS
    optics = Optics("optics", 300.0, 2.7, 0.1)
    sets = []
    for number in range(TOMOGRAMS):
        name = f"TS_{number:03}"
        frame = TomogramFrame(name, name, 10.0, (1024, 1024, 300), 2.5, (4096.0, 4096.0, 1200.0), optics)
        positions = rng.uniform(0, (10240, 10240, 3000), (count, 3))
        rotations = Rotation.random(count, random_state=rng).as_matrix()
        picks = Picks(name, positions, rng.uniform(size=count), ("ribosome",) * count, rotations=rotations)
        sets.append(FramedPicks(frame, picks))
    return sets


def measure_speed(dialect: str, folder: Path) -> dict[str, float]:
    """Write and read half a million particles; a process does this once, so that its peak memory is theirs."""
    sets = large_sets()
    started = time.process_time()
    path = write_particles(folder, load_dialect(dialect), sets).paths[0]
    written = time.process_time()
    read = read_particles(path, [entry.frame for entry in sets], load_dialect(dialect))
    done = time.process_time()
    assert sum(len(entry.picks) for entry in read.sets) == PARTICLES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"write": written - started, "read": done - written, "peak": peak, "size": path.stat().st_size / 2**20}


def speed_table(folder: Path) -> list[str]:
    """Return time and memory of writing and reading half a million particles."""
    lines = [
        "| dialect | written, CPU s | read, CPU s | peak memory of the process, GiB | file, MiB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for dialect in SPEED_DIALECTS:
        command = [sys.executable, __file__, "--speed-of", dialect, "--folder", str(folder / dialect)]
        cost = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        lines.append(
            f"| {dialect} | {cost['write']:.1f} | {cost['read']:.1f} | {cost['peak']:.2f} | {cost['size']:.0f} |"
        )
    return lines


def machine() -> str:
    """Return what it was measured on."""
    cores = psutil.cpu_count()
    return f"Python {platform.python_version()}, numpy {version('numpy')}, {cores} cores"


def measure_all(options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the report."""
    names = readers()
    folders = {part: folder / part for part in ("beads", "objects", "pick", "speed")}
    for path in folders.values():
        path.mkdir()
    sizes = " and ".join(" x ".join(str(n) for n in size) for size in SIZES_XYZ.values())
    report = ["# Hand-off to other programs", "", f"Written by `bench_handoff.py`; {machine()}.", ""]
    report += [
        "## Places",
        "",
        "Four beads between voxels, in tomograms with three different sides, are picked (centre of mass), written, and "
        "cut out by the program that reads the file. The table holds the distance of the worst bead from the middle "
        "of its box; for tilt images, in the worst tilt of 13 from -60° to 60°. The bar is 0.1. RELION 3.1 cuts at "
        "whole voxels, and its boxes are shifted by the origins in the file. Warp needs a GPU; an independent reader "
        "keeps its rules (`tests/oracles/warp_star.py`).",
        "",
        *bead_table(folders["beads"], names),
        "",
        "## Orientations",
        "",
        f"{sum(len(o.places_xyz) for o in OBJECTS.values())} copies of an object of four unequal blobs in random "
        f"orientations, in tomograms of {sizes} voxels of {PIXEL_SIZE_ANGSTROM} Å, are averaged with the angles of the "
        "file. The bar is a correlation over 0.95 and every blob within 0.1 voxel; wrong conventions must miss it.",
        "",
        *orientation_table(folders["objects"], names),
        "",
        "## Speed",
        "",
        f"{PARTICLES:,} oriented particles in {TOMOGRAMS} tomograms. Peak memory counts the picks themselves.",
        "",
        *speed_table(folders["speed"]),
        "",
    ]
    if not options.skip_pick:
        report += [
            "## Picks of the command",
            "",
            "`cryosiam pick` on simulated tomograms of 10 Å voxels: picks less the true centres, mean and its standard "
            "error, of pairs nearer than 50 Å. A convention half a voxel off would show as 5 Å in every tomogram.",
            "",
            *pick_table(folders["pick"], options.runs),
            "",
        ]
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that the options describe."""
    parser = argparse.ArgumentParser(description="Measure the hand-off to other programs.")
    parser.add_argument("--runs", type=int, default=4, help="simulated tomograms to pick")
    parser.add_argument("--skip-pick", action="store_true", help="leave `cryosiam pick` out")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("hand-off.md"), help="the report")
    parser.add_argument("--speed-of", choices=SPEED_DIALECTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.speed_of:
        print(json.dumps(measure_speed(options.speed_of, options.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-hand-off-") as folder:
        report = measure_all(options, Path(folder))
    options.out.write_text("\n".join(report))
    print("\n".join(report))


if __name__ == "__main__":
    main()
