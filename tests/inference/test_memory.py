"""The memory that inference is given is what it uses, however deep the volume."""

import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from cryosiam.inference.memory import DEFAULT_LIMIT_BYTES, default_memory_bytes, peak_bytes
from cryosiam.inference.precision import Precision
from cryosiam.inference.runtime import TorchRuntime
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork

PROGRAM = """
import sys, tempfile
from pathlib import Path
import numpy as np
from cryosiam.domain import ArrayVolume
from cryosiam.inference.engine import run_dense
from cryosiam.inference.normalisation import Normalisation
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

depth, memory, precision = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
net = DenseNetwork(DENSE_PRESETS["light"]).eval()
volume = ArrayVolume(np.broadcast_to(np.float32(0.5), (depth, 192, 192)))
with tempfile.TemporaryDirectory() as folder:
    small = ArrayVolume(np.zeros((8, 8, 8), np.float32))
    scale = Normalisation(-1, 1, 0, 1)
    run_dense(net, small, scale, Path(folder) / "warm", precision=precision)
    before = status("VmRSS:")
    run_dense(net, volume, scale, Path(folder) / "out", precision=precision, memory_bytes=memory)
print(status("VmHWM:") - before)
"""


def memory_used(depth: int, memory: int, precision: str) -> int:
    command = [sys.executable, "-c", PROGRAM, str(depth), str(memory), precision]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_process_stays_within_the_memory_it_was_given(precision: str) -> None:
    memory = 350_000_000
    used = [memory_used(depth, memory, precision) for depth in (96, 192)]
    # Beside the tiles: compiled kernels and what the allocator keeps, which do not grow with them.
    assert max(used) < memory + 80_000_000


def test_the_default_fits_the_machine() -> None:
    assert 0 < default_memory_bytes() <= min(DEFAULT_LIMIT_BYTES, psutil.virtual_memory().total)


def test_peak_counts_what_is_alive_together() -> None:
    def work() -> None:
        first = torch.empty(1000, dtype=torch.float32, device="meta")
        second = first + 1  # two alive: 8000 bytes
        del first
        third = second.to(torch.bfloat16)  # 6000 bytes
        del second, third

    assert peak_bytes(work) == pytest.approx(1.15 * 8000)


def test_bfloat16_and_fewer_heads_need_less() -> None:
    net = DenseNetwork(DENSE_PRESETS["light"])
    full, half = (TorchRuntime(net, net.heads, p, "cpu").bytes_per_voxel for p in Precision)
    assert half == pytest.approx(full / 2)
    assert TorchRuntime(net, ["sample"], Precision.FLOAT32, "cpu").bytes_per_voxel <= full
    assert np.isfinite(full)
    assert full > 50
