"""Measure training: patches per second of the light dense network with all heads, and the wait for simulated patches.

    python benchmarks/bench_training.py SPECIMENS [--steps 20] [--quick]

``SPECIMENS`` is a folder of specimens that `cryosiam train` built. Prints tables and writes them to
``benchmarks/training.md``. CPU seconds stand beside wall seconds, so that a run on a busy machine can be told.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from bench_dense import Timing, matrix_rate, timed
from torch.utils.flop_counter import FlopCounterMode

from cryosiam.inference.precision import has_native_bfloat16
from cryosiam.training.data import SimulatedSource
from cryosiam.training.dense import dense_task
from cryosiam.training.fit import Trained, fit
from cryosiam.training.limits import Limits
from cryosiam.training.recipe import Recipe, read_recipe
from cryosiam.training.specimens import StoredSpecimen
from cryosiam.training.task import Batch, TrainingTask

PATCH = (64, 64, 64)


def light_task(specimens: Path, batch: int) -> tuple[TrainingTask, Recipe]:
    """Return the dense stage of the light recipe on the specimens, all drawn alike."""
    found = [StoredSpecimen(path) for path in sorted(specimens.iterdir()) if path.is_dir()]
    light = read_recipe("light")
    optimiser = light.dense.model_copy(update={"batch": batch})
    recipe = light.model_copy(update={"patch_zyx": PATCH, "dense": optimiser})
    return dense_task(recipe, SimulatedSource(found, np.full(len(found), 1 / len(found))), ()), recipe


def one_step(task: TrainingTask, batch: Batch) -> None:
    """Run the losses and their gradients once."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_native_bfloat16("cpu")):
        total = task.losses(task.model, batch)["total"]
    total.backward()  # type: ignore[no-untyped-call]


def step_flops(task: TrainingTask, batch: Batch) -> float:
    """Return the arithmetic of the network in one step, forwards and backwards."""
    counter = FlopCounterMode(display=False)
    with counter:
        one_step(task, batch)
    return float(counter.get_total_flops())


def whole_training(task: TrainingTask, recipe: Recipe, steps: int) -> tuple[Trained, Timing]:
    """Train some steps with the trainer, patches being imaged meanwhile."""
    optimiser = recipe.dense.model_copy(update={"steps": steps})
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = fit(task, optimiser, Path(folder), Limits(devices="1"))
    return trained, Timing(time.perf_counter() - wall, time.process_time() - cpu)


def report(specimens: Path, steps: int, repeats: int) -> str:
    """Measure everything and return it as Markdown."""
    task, recipe = light_task(specimens, batch=2)
    batch = task.batches(0)
    patches = recipe.dense.batch
    flops = step_flops(task, batch)
    step = timed(lambda: one_step(task, batch), repeats)
    matrix = matrix_rate(torch.bfloat16)
    trained, whole = whole_training(task, recipe, steps)
    load = os.getloadavg()[0]
    lines = [
        "# Training",
        "",
        f"`python benchmarks/bench_training.py SPECIMENS --steps {steps}` on {platform.machine()}, {os.cpu_count()} "
        f"cores, torch {torch.__version__}, {torch.get_num_threads()} threads, native bfloat16: "
        f"{has_native_bfloat16('cpu')}, load then {load:.1f} "
        "(above the core count: the machine was busy, and wall times are too long).",
        "",
        f"Light dense network, all heads and their losses, {patches} patches of {' x '.join(map(str, PATCH))} a step, "
        f"{flops / patches / 1e9:.0f} GFLOP a patch forwards and backwards; share is of a 4096^2 bfloat16 matrix "
        f"product ({matrix / 1e9:.0f} GFLOP/s).",
        "",
        "| what | wall s | CPU s | patches/s | patches per CPU s | GFLOP/s | share |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [("losses and gradients", step, 1), (f"trainer, {steps} steps, data and start included", whole, steps)]
    for name, timing, count in rows:
        rate = flops * count / timing.wall_s
        lines.append(
            f"| {name} | {timing.wall_s:.1f} | {timing.cpu_s:.1f} | {patches * count / timing.wall_s:.2f} | "
            f"{patches * count / timing.cpu_s:.2f} | {rate / 1e9:.0f} | {rate / matrix:.0%} |"
        )
    lines += [
        "",
        f"The trainer waited for patches {trained.waited:.0%} of {3600 * trained.hours:.0f} s; before the first step "
        "it waits until the first block of tomograms is imaged, which a short run shows more than a long one.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse options, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specimens", type=Path, help="folder of specimens")
    parser.add_argument("--steps", type=int, default=20, help="steps of the trainer")
    parser.add_argument("--quick", action="store_true", help="two steps, nothing written")
    options = parser.parse_args()
    text = report(options.specimens, 2 if options.quick else options.steps, 1 if options.quick else 3)
    print(text)
    if not options.quick:
        (Path(__file__).parent / "training.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
