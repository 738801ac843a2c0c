"""Weights that are a threshold, and projects of balls, so that the right answer of the whole path is known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.identification import Classifier
from cryosiam.networks.config import DENSE_HEADS, DenseConfig, EncoderConfig, SubtomogramConfig
from cryosiam.networks.dense import DenseNetwork
from cryosiam.networks.subtomogram import SubtomogramNetwork
from cryosiam.weights import save_weights

SMALL, LARGE = 4.0, 7.0
"""Radii in voxels of the two kinds of balls."""
VOXEL_SIZE_ANGSTROM = 10.0
COMMAND = Path(sys.executable).parent / "cryosiam"


def _pass_through(layers: torch.nn.Module) -> None:
    """Make every convolution and linear layer hand its channels on unchanged."""
    for layer in layers.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.weight.zero_()
            middle = [size // 2 for size in layer.kernel_size]
            for channel in range(min(layer.in_channels, layer.out_channels)):
                layer.weight[channel, channel, *middle] = 1.0
        elif isinstance(layer, torch.nn.Linear):
            layer.weight.copy_(torch.eye(*layer.weight.shape))


def _dark_and_bright(encoder: torch.nn.Module) -> None:
    """Let channel 0 hold what is darker than the mean and channel 1 what is brighter, through all blocks."""
    stem: Any = encoder.stem
    stem[0].weight.zero_()
    stem[0].weight[0], stem[0].weight[1] = -1.0, 1.0
    for block in encoder.stages:
        block.conv1.weight.zero_()
        block.conv2.weight.zero_()


@torch.no_grad()
def threshold_network(depth: float = 1.5) -> DenseNetwork:
    """Return a dense network to which everything darker than ``depth`` standard deviations is particle."""
    shape = EncoderConfig(stem_kernel=1, stem_stride=1, planes=(2,))
    network = DenseNetwork(DenseConfig(encoder=shape, fpn_channels=2, embedding_channels=2, head_channels=(2,)))
    _pass_through(network)
    _dark_and_bright(network.trunk.encoder)
    dark = {"foreground": (8.0, -8.0 * depth), "distance": (1.0, 0.0)}
    for name, head in network.task_heads.items():
        last = head.layers[-1]
        last.weight.zero_()
        last.bias.zero_()
        if name in dark:
            last.weight[0, 0, 1, 1, 1], last.bias[0] = dark[name]
        elif name == "denoise":
            last.weight[0, 0, 1, 1, 1], last.weight[0, 1, 1, 1, 1] = -1.0, 1.0
        elif name == "semantic":
            last.weight[2, 0, 1, 1, 1] = 8.0
            last.bias[:] = torch.tensor([8.0 * depth, -9.0, 0.0, -9.0, -9.0, -9.0])
        else:
            last.bias[:] = 5.0 if name == "sample" else -5.0
    return network.eval()


@torch.no_grad()
def size_network() -> tuple[SubtomogramNetwork, Classifier]:
    """Return a subtomogram network and classifier that tell balls by how much protein they hold."""
    shape = EncoderConfig(stem_kernel=1, stem_stride=1, planes=(2,))
    network = SubtomogramNetwork(SubtomogramConfig(encoder=shape, box=32, embedding_channels=2))
    _pass_through(network)
    _dark_and_bright(network.encoder)
    last: Any = network.projector
    last[-2].weight.copy_(torch.diag(torch.tensor([10.0, 0.0])))
    # The second component is constant, so that the direction tells the first one.
    last[-1].running_mean.copy_(torch.tensor([0.0, -1.0]))
    weight = np.array([[-40.0, 0.0], [40.0, 0.0]], np.float32)
    return network.eval(), Classifier(("small", "large"), weight, np.array([30.0, -30.0], np.float32), 1.0, 0.5)


def write_weights(folder: Path, **changes: Any) -> Path:
    """Write the weights of both networks; ``changes`` go on both cards."""
    training = {"recipe": "none", "data": "none", "hours": 0.0, "machine": "none"}
    common = {"voxel_size_angstrom": VOXEL_SIZE_ANGSTROM, "contrast": "dark", "training": training, **changes}
    dense = threshold_network()
    subtomogram, classifier = size_network()
    save_weights(
        folder,
        dense,
        {
            "name": "threshold",
            "task": "dense",
            "network": dense.config.model_dump(),
            "heads": tuple(DENSE_HEADS),
            "semantic_classes": SEMANTIC_CLASSES,
            "halo": dense.halo,
            **common,
        },
    )
    save_weights(
        folder,
        subtomogram,
        {
            "name": "size",
            "task": "subtomogram",
            "network": subtomogram.config.model_dump(),
            "species": classifier.class_names,
            **common,
        },
        classifier.to_arrays(),
    )
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


def balls(
    shape: tuple[int, int, int],
    centres_zyx: NDArray[np.float64],
    radii: NDArray[np.float64],
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return a volume of dark balls in weak noise; sizes in voxels."""
    volume = np.random.default_rng(seed).normal(0.0, 0.3, shape).astype(np.float32)
    grid = np.indices(shape).reshape(3, -1).T
    for centre, radius in zip(centres_zyx, radii, strict=True):
        distance = np.linalg.norm(grid - centre, axis=1).reshape(shape)
        # A soft edge, so that the centre is known to a fraction of a voxel.
        volume -= 6.0 * np.clip(radius + 0.5 - distance, 0.0, 1.0).astype(np.float32)
    return volume


def some_balls(seed: int, shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres (z, y, x) and radii in voxels of balls that do not touch."""
    rng = np.random.default_rng(seed)
    centres: list[NDArray[np.float64]] = []
    for _ in range(2000):
        trial = rng.uniform(10, np.array(shape) - 11)
        if all(np.linalg.norm(trial - other) > 20 for other in centres):
            centres.append(trial)
    return np.array(centres), np.where(np.arange(len(centres)) % 2 == 0, SMALL, LARGE)


class Project:
    """A copick project of balls in a folder."""

    def __init__(self, folder: Path, shape: tuple[int, int, int], runs: int) -> None:
        self.folder = folder
        self.config = folder / "project.json"
        self.shape = shape
        self.truth = {f"TS_{i + 1:02d}": some_balls(i, shape) for i in range(runs)}
        folder.mkdir(parents=True, exist_ok=True)
        self.write_config()
        for i, run in enumerate(self.truth):
            self.add_tomogram(run, balls(shape, *self.truth[run], seed=i))

    def write_config(self, **changes: Any) -> None:
        content = {
            "config_type": "filesystem",
            "name": "balls",
            "description": "balls",
            "version": "1.0.0",
            "pickable_objects": [],
            "overlay_root": f"local://{self.folder / 'overlay'}",
            "overlay_fs_args": {"auto_mkdir": True},
            **changes,
        }
        (self.folder / "overlay").mkdir(exist_ok=True)
        self.config.write_text(json.dumps(content, indent=2))

    def add_tomogram(self, run: str, volume: NDArray[np.float32], kind: str = "wbp", spacing: float = 10.0) -> Path:
        """Write a tomogram as copick does: OME-Zarr 0.4, one level."""
        import zarr

        path = self.folder / "overlay" / "ExperimentRuns" / run / f"VoxelSpacing{spacing:.3f}" / f"{kind}.zarr"
        path.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.open_group(str(path), mode="w")
        group.create_dataset("0", data=volume, chunks=(32, 64, 64), dimension_separator="/")
        axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
        scale = [{"type": "scale", "scale": [spacing] * 3}]
        group.attrs["multiscales"] = [
            {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
        ]
        return path

    @property
    def out(self) -> Path:
        return self.folder / "cryosiam"

    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.out / "manifest.json").read_text())
        return content

    def picks(self, run: str, name: str, user: str = "cryosiam", session: str = "1") -> list[dict[str, Any]]:
        """Return the points of one pick set."""
        path = self.folder / "overlay" / "ExperimentRuns" / run / "Picks" / f"{user}_{session}_{name}.json"
        points: list[dict[str, Any]] = json.loads(path.read_text())["points"]
        return points

    def contents(self) -> dict[str, bytes]:
        """Return every file and folder under the project with its bytes."""
        return contents(self.folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file and folder under ``folder`` with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Return a function that makes a project of balls."""

    def make(name: str = "project", shape: tuple[int, int, int] = (48, 64, 72), runs: int = 1) -> Project:
        return Project(tmp_path / name, shape, runs)

    return make


def write_mrc(path: Path, volume: NDArray[Any], voxel_size_angstrom: float = VOXEL_SIZE_ANGSTROM) -> Path:
    """Write a volume as an independent program would."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(volume)
        file.voxel_size = voxel_size_angstrom
    return path


@pytest.fixture
def mrc() -> Callable[..., Path]:
    return write_mrc


@pytest.fixture
def ball_volume() -> Callable[..., NDArray[np.float32]]:
    return balls


Cryosiam = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cryosiam() -> Cryosiam:
    """Return a function that runs the installed command in a process of its own."""

    def run(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        import os

        return subprocess.run(
            [COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", **environment},
            check=False,
        )

    return run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cryosiam:
    """Return a function that runs the same command in this process: faster, where no process of its own is needed."""
    from cryosiam.cli.main import main

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["cryosiam", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        output = capsys.readouterr()
        code = stopped.value.code
        return subprocess.CompletedProcess(arguments, code if isinstance(code, int) else 0, output.out, output.err)

    return run
