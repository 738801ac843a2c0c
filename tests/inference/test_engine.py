"""The engine on the real light network: exact tiles, bounded precision loss, whole or absent products."""

import json
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cryosiam.domain import ArrayVolume
from cryosiam.errors import InputError, StorageError
from cryosiam.inference.engine import run_dense
from cryosiam.inference.normalisation import Normalisation
from cryosiam.inference.outputs import DenseProducts, ProductWriter, open_products
from cryosiam.inference.precision import Precision
from cryosiam.inference.runtime import TorchRuntime
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork

IDENTITY = Normalisation(low=-1e9, high=1e9, mean=0.0, std=1.0)


@pytest.fixture(scope="module")
def net() -> DenseNetwork:
    """The light network with random weights and batch statistics that folding must respect."""
    torch.manual_seed(7)
    network = DenseNetwork(DENSE_PRESETS["light"])
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d) and module.running_mean is not None:
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    # Scale the heads so that their outputs spread as a trained network's do.
    with torch.inference_mode():
        outputs = network.eval()(torch.randn(1, 1, 48, 48, 48))
    for name, value in outputs.items():
        last = network.task_heads[name].layers[-1]
        last.weight.data /= value.std() / 3.0
    return network.eval()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(11).normal(size=shape).astype(np.float32)


def run(net: DenseNetwork, array: np.ndarray, folder: Path, **options: object) -> DenseProducts:
    options.setdefault("precision", "float32")
    return run_dense(net, ArrayVolume(array), IDENTITY, folder, **options)  # type: ignore[arg-type]


def megabytes(net: DenseNetwork, voxels: int) -> int:
    runtime = TorchRuntime(net, net.heads, Precision.FLOAT32, "cpu")
    return int(voxels * (runtime.bytes_per_voxel + 16)) + 1


def test_two_tile_plans_and_the_untiled_network_agree(net: DenseNetwork, tmp_path: Path) -> None:
    array = noise(37, 250, 40)
    runs = [
        run(net, array, tmp_path / str(voxels), memory_bytes=megabytes(net, voxels))
        for voxels in (40 * 120 * 40, 40 * 176 * 40)
    ]
    assert [r.record["tiles"] for r in runs] == [8, 2] or runs[0].record["tiles"] > runs[1].record["tiles"] > 1
    padded = np.zeros((40, 256, 40), np.float32)
    padded[:37, :250] = array
    with torch.inference_mode():
        raw = {k: v[0, :, :37, :250].numpy() for k, v in net(torch.from_numpy(padded)[None, None]).items()}
    sigmoid = {k: 1.0 / (1.0 + np.exp(-raw[k][0])) for k in ("foreground", "boundary", "sample")}
    for products in runs:
        for name, head in (("denoised", "denoise"), ("distance", "distance")):
            scale = np.abs(raw[head]).max()
            assert np.abs(products.array(name).astype(np.float32) - raw[head][0]).max() < 1e-3 * scale
        for name in ("foreground", "boundary"):
            assert np.abs(products.array(name) / 255.0 - sigmoid[name]).max() < 0.5 / 255 + 1e-3
        assert (products.array("semantic") == raw["semantic"].argmax(axis=0)).mean() > 0.9999
        blocks = products.array("sample")
        assert blocks.shape == (5, 32, 5)
        assert blocks[1, 2, 3] == pytest.approx(sigmoid["sample"][8:16, 16:24, 24:32].mean(), abs=1e-4)
        assert blocks[4, 31, 0] == pytest.approx(sigmoid["sample"][32:, 248:, :8].mean(), abs=1e-4)
    for name in runs[0].names:
        a, b = (r.array(name).astype(np.float32) for r in runs)
        assert (np.abs(a - b) <= 1e-3 * np.abs(b).max() + (a.dtype == np.uint8)).mean() > 0.9999


def test_semantic_probability_is_the_softmax_of_the_winner(net: DenseNetwork, tmp_path: Path) -> None:
    array = noise(16, 16, 16)
    products = run(net, array, tmp_path / "out", heads=["semantic"])
    assert products.names == ("semantic", "semantic_probability")
    with torch.inference_mode():
        wanted = net(torch.from_numpy(array)[None, None], ["semantic"])["semantic"][0].softmax(dim=0).amax(dim=0)
    assert np.abs(products.array("semantic_probability") / 255.0 - wanted.numpy()).max() < 3e-3


def test_bfloat16_is_within_a_hundredth_of_float32(net: DenseNetwork) -> None:
    tile = noise(48, 48, 48)
    core = (slice(0, 48),) * 3
    exact, rounded = (dict(TorchRuntime(net, net.heads, p, "cpu").run(tile, core)) for p in Precision)
    for name, value in exact.items():
        error = (rounded[name].float() - value).abs()
        assert float(error.mean() / value.std()) < 1e-2, name


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (8, 9, 17)])
def test_volumes_smaller_than_a_tile_or_a_cell(net: DenseNetwork, tmp_path: Path, shape: tuple[int, int, int]) -> None:
    products = run(net, noise(*shape), tmp_path / "out")
    assert products.record["tiles"] == 1
    assert all(products.array(name).shape == shape for name in products.names if name != "sample")
    assert products.volume("denoised").read((slice(0, 1),) * 3).shape == (1, 1, 1)


def test_inverted_contrast_gives_the_same_answer_for_the_negative(net: DenseNetwork, tmp_path: Path) -> None:
    array = noise(16, 24, 16)
    plain = run(net, array, tmp_path / "plain")
    inverted = run(net, -array, tmp_path / "inverted", contrast_sign=-1)
    np.testing.assert_array_equal(plain.array("semantic"), inverted.array("semantic"))
    np.testing.assert_array_equal(plain.array("denoised"), -inverted.array("denoised"))


def test_products_appear_whole_and_are_found_again(net: DenseNetwork, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    folder = tmp_path / "deep" / "out"
    assert open_products(folder) is None
    products = run(net, noise(8, 16, 16), folder, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(0, 1), (1, 1)]
    assert open_products(folder) == products
    assert json.loads((folder / "dense.json").read_text())["precision"] == "float32"
    again = run(net, noise(8, 8, 8), folder, heads=["distance"])
    assert again.names == ("distance",)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["out"]
    assert not (folder / "semantic.npy").exists()


def test_a_cancelled_or_failing_run_leaves_nothing(net: DenseNetwork, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        run(net, noise(8, 8, 8), tmp_path / "out", cancelled=lambda: True)

    class Broken(ArrayVolume):
        def read(self, box: tuple[slice, slice, slice]) -> np.ndarray:
            raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        run_dense(net, Broken(noise(8, 8, 8)), IDENTITY, tmp_path / "out", precision="float32")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", no_room)
    writer = ProductWriter(tmp_path / "out", (8, 8, 8), ["denoise"])
    with pytest.raises(StorageError, match=r"out: No space left on device; make room there"), writer:
        pass
    assert list(tmp_path.iterdir()) == []


def test_unknown_heads_and_devices_are_one_sentence(net: DenseNetwork, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no head 'colour', only denoise"):
        run(net, noise(8, 8, 8), tmp_path / "out", heads=["colour"])
    with pytest.raises(InputError, match="no device 'tpu'"):
        run(net, noise(8, 8, 8), tmp_path / "out", device="tpu")
    with pytest.raises(InputError, match="no precision 'float8'"):
        run(net, noise(8, 8, 8), tmp_path / "out", precision="float8")
    with pytest.raises(InputError, match="--memory"):
        run(net, noise(64, 64, 256), tmp_path / "out", memory_bytes=1000)
