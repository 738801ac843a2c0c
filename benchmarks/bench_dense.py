"""Measure dense inference: speed, share of the machine's matrix rate, memory of whole volumes, torch and OpenVINO.

    python benchmarks/bench_dense.py [--quick]

prints tables and writes them to ``benchmarks/dense.md``. Random weights: speed and memory do not depend on them.
CPU seconds stand beside wall seconds, so that a run on a busy machine can be told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cryosiam.domain.tomogram import Box
from cryosiam.inference.engine import run_dense
from cryosiam.inference.normalisation import measure_normalisation
from cryosiam.inference.precision import Precision, has_native_bfloat16
from cryosiam.inference.runtime import TorchRuntime
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork
from cryosiam.networks.folding import fold_batch_norms

TOMOGRAM = (184, 630, 630)
TILE = (128, 128, 128)
MATRIX = 4096


@dataclass(frozen=True)
class NoiseVolume:
    """A volume of any depth over sixteen stored planes of noise."""

    shape: tuple[int, int, int]
    planes: NDArray[np.float32]

    @classmethod
    def make(cls, shape: tuple[int, int, int]) -> NoiseVolume:
        """Return noise of ``shape``."""
        return cls(shape, np.random.default_rng(0).standard_normal((16, *shape[1:]), dtype=np.float32))

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box``."""
        return np.ascontiguousarray(self.planes[np.arange(box[0].start, box[0].stop) % 16][:, box[1], box[2]])


@dataclass(frozen=True)
class Timing:
    """Best of some repeats."""

    wall_s: float
    cpu_s: float


def timed(work: Callable[[], object], repeats: int = 3) -> Timing:
    """Run ``work`` once to warm up, then ``repeats`` times; return the quickest."""
    work()
    timings = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        timings.append(Timing(time.perf_counter() - wall, time.process_time() - cpu))
    return min(timings, key=lambda timing: timing.wall_s)


def light_network() -> DenseNetwork:
    """Return the light network with random weights."""
    torch.manual_seed(0)
    return DenseNetwork(DENSE_PRESETS["light"]).eval()


def matrix_rate(dtype: torch.dtype) -> float:
    """Return FLOP/s of a large matrix product."""
    a = torch.randn(MATRIX, MATRIX).to(dtype)
    return 2.0 * MATRIX**3 / timed(lambda: a @ a).wall_s


def flops_per_voxel(net: DenseNetwork) -> float:
    """Return the arithmetic of one pass for each voxel, all heads."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        fold_batch_norms(net)(torch.zeros(1, 1, 64, 64, 64))
    return float(counter.get_total_flops()) / 64**3


def torch_pass(net: DenseNetwork, precision: Precision) -> Timing:
    """Time one tile, all heads."""
    runtime = TorchRuntime(net, net.heads, precision, "cpu")
    tile = np.random.default_rng(0).standard_normal(TILE, dtype=np.float32)
    core = (slice(0, TILE[0]), slice(0, TILE[1]), slice(0, TILE[2]))
    return timed(lambda: list(runtime.run(tile, core)))


class _Tuple(nn.Module):
    """The network with its outputs in a tuple, which OpenVINO converts."""

    def __init__(self, net: DenseNetwork) -> None:
        super().__init__()
        self.net = fold_batch_norms(net)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.net(x).values())


def openvino_passes(net: DenseNetwork) -> dict[str, Timing] | None:
    """Time OpenVINO on the same tile, and its conversion; None where it is not installed."""
    try:
        import openvino
    except ModuleNotFoundError:
        return None
    wall, cpu = time.perf_counter(), time.process_time()
    model = openvino.convert_model(_Tuple(net), example_input=torch.zeros(1, 1, 64, 64, 64))
    results = {"convert": Timing(time.perf_counter() - wall, time.process_time() - cpu)}
    tile = np.random.default_rng(0).standard_normal((1, 1, *TILE), dtype=np.float32)
    for precision, hint in ((Precision.FLOAT32, "f32"), (Precision.BFLOAT16, "bf16")):
        options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(model, "CPU", options)
        results[precision] = timed(lambda compiled=compiled: compiled(tile))  # type: ignore[misc]
    return results


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process.

    ``getrusage`` would answer with the parent's where that was larger at the fork.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell a process's peak memory")


def whole_volume(shape: tuple[int, int, int]) -> dict[str, float]:
    """Run the engine over a volume in this process; return times, tiles and peak memory."""
    volume = NoiseVolume.make(shape)
    wall, cpu = time.perf_counter(), time.process_time()
    normalisation = measure_normalisation(volume, run="bench", source="noise")
    statistics_s = time.perf_counter() - wall
    with tempfile.TemporaryDirectory() as folder:
        record = run_dense(light_network(), volume, normalisation, Path(folder) / "dense").record
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "statistics_s": statistics_s,
        "tiles": record["tiles"],
        "computed": record["computed_voxels"] / np.prod(shape),
        "peak_gb": peak_memory_bytes() / 1e9,
    }


def in_own_process(shape: tuple[int, int, int]) -> dict[str, float]:
    """Run `whole_volume` in a fresh interpreter, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--one", "x".join(map(str, shape))]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


def report(quick: bool) -> str:
    """Measure everything and return it as Markdown."""
    net = light_network()
    flops = flops_per_voxel(net)
    voxels = float(np.prod(TILE))
    rows = [("torch", str(p), torch_pass(net, p)) for p in Precision]
    openvino = openvino_passes(net)
    if openvino:
        rows += [("openvino", str(p), openvino[p]) for p in Precision]
    rates = {str(p): matrix_rate(p.dtype) for p in Precision}
    load = os.getloadavg()[0]
    lines = [
        "# Dense inference",
        "",
        f"`python benchmarks/bench_dense.py` on {platform.machine()}, {os.cpu_count()} cores, "
        f"torch {torch.__version__}, native bfloat16: {has_native_bfloat16('cpu')}, load then {load:.1f} "
        "(above the core count: the machine was busy and wall times are too long).",
        "",
        f"Light network, all six heads: {flops / 1e3:.0f} kFLOP per voxel. One tile of "
        f"{' x '.join(map(str, TILE))}, best of 3; share is of a {MATRIX}^2 matrix product in the same type.",
        "",
        "| runtime | precision | wall s | CPU s | Mvoxel/s | GFLOP/s | matrix GFLOP/s | share |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for runtime, precision, timing in rows:
        rate = flops * voxels / timing.wall_s
        lines.append(
            f"| {runtime} | {precision} | {timing.wall_s:.2f} | {timing.cpu_s:.2f} | "
            f"{voxels / timing.wall_s / 1e6:.2f} | {rate / 1e9:.0f} | {rates[precision] / 1e9:.0f} | "
            f"{rate / rates[precision]:.0%} |"
        )
    if openvino:
        lines += ["", f"OpenVINO also needs {openvino['convert'].wall_s:.0f} s to convert the network."]
    lines += [
        "",
        "Whole volumes through the engine, default memory and precision, process of its own:",
        "",
        "| volume | tiles | trunk voxels per voxel | statistics s | wall s | CPU s | peak memory GB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    z, y, x = (64, 256, 256) if quick else TOMOGRAM
    for shape in ((z, y, x), (2 * z, y, x)):
        cost = in_own_process(shape)
        lines.append(
            f"| {' x '.join(map(str, shape))} | {cost['tiles']:.0f} | {cost['computed']:.2f} | "
            f"{cost['statistics_s']:.1f} | {cost['wall_s']:.0f} | {cost['cpu_s']:.0f} | {cost['peak_gb']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse options, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small volumes, nothing written")
    parser.add_argument("--one", metavar="ZxYxX", help="run one volume and print its cost as JSON")
    options = parser.parse_args()
    if options.one:
        z, y, x = map(int, options.one.split("x"))
        print(json.dumps(whole_volume((z, y, x))))
        return
    text = report(options.quick)
    print(text)
    if not options.quick:
        (Path(__file__).parent / "dense.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
