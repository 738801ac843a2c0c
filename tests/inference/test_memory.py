"""The memory that inference is given is what it uses, however deep the volume."""

import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from cryosiam.inference.memory import DEFAULT_PROCESS_BYTES, peak_bytes, tile_memory_bytes
from cryosiam.inference.precision import Precision, has_native_bfloat16
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
@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        pytest.param(
            "bfloat16",
            # Elsewhere one convolution takes minutes.
            marks=pytest.mark.skipif(not has_native_bfloat16("cpu"), reason="this processor does not know bfloat16"),
        ),
    ],
)
def test_a_process_stays_within_the_memory_it_was_given(precision: str) -> None:
    memory = 350_000_000
    # Beside the tiles: compiled kernels and what the allocator keeps, which do not grow with them. What it keeps
    # depends on how the threads happen to run, so one run of a few within the bound shows that the work needs no more.
    for depth in (96, 192):
        assert any(memory_used(depth, memory, precision) < memory + 100_000_000 for _ in range(4))


FINE_PROGRAM = """
import sys, tempfile
from pathlib import Path
import numpy as np
from cryosiam.inference.engine import run_dense
from cryosiam.inference.normalisation import Normalisation
from cryosiam.inference.resampling import ResampledVolume
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork

class Fine:
    shape = (320, 1200, 1200)

    def read(self, box):
        return np.full([part.stop - part.start for part in box], 0.5, np.float32)

net = DenseNetwork(DENSE_PRESETS["light"]).eval()
with tempfile.TemporaryDirectory() as folder:
    volume = ResampledVolume(Fine(), 2.5, 10.0)
    run_dense(net, volume, Normalisation(-1, 1, 0, 1), Path(folder) / "out", memory_bytes=int(sys.argv[1]))
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_a_tomogram_of_four_times_finer_voxels_stays_within_the_memory_too() -> None:
    command = [sys.executable, "-c", FINE_PROGRAM, "600000000"]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # The source is 1.8 GB; the interpreter with torch holds 0.3 GB before it starts.
    assert peak < 1_100_000_000


def test_the_default_holds_for_the_whole_process() -> None:
    held = psutil.Process().memory_info().rss
    assert 0 < tile_memory_bytes() <= min(DEFAULT_PROCESS_BYTES - held + 5_000_000, psutil.virtual_memory().total)


def test_what_a_user_gives_is_for_the_whole_process() -> None:
    held = psutil.Process().memory_info().rss
    assert tile_memory_bytes(held + 500_000_000) == pytest.approx(500_000_000, abs=5_000_000)
    assert tile_memory_bytes(1000) == 1


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
