"""The probe: it finds what embeddings hold, leaves the trunk alone, and is measured on what nobody saw."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cryosiam.errors import TrainingError
from cryosiam.networks.config import DenseConfig, EncoderConfig
from cryosiam.training.probe import LabelledVolume, ProbeBudget, probe_semantic, random_trunk, split_specimens
from cryosiam.training.specimens import StoredSpecimen
from cryosiam.training.task import Batches

TINY = DenseConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)), fpn_channels=8, embedding_channels=16
)
PROBE = ProbeBudget(patches=8, patch_zyx=(16, 16, 16), steps=200, cells=512, learning_rate=0.05)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Parity:
    """Patches of noise; the class of a voxel is told by where in its cell it lies, by nothing else."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        def one(number: int) -> dict[str, Tensor]:
            noisy = torch.randn(batch, 1, *size_zyx, generator=seeded(number))
            return {"noisy": noisy, "semantic": parity(size_zyx).expand(batch, *size_zyx)}

        return one


def parity(shape: tuple[int, int, int]) -> Tensor:
    z, y, x = torch.meshgrid(*(torch.arange(n) % 2 for n in shape), indexing="ij")
    return z + 2 * x + (1 - x) * (1 - z) * 4 * y


def test_the_probe_tells_the_voxels_of_a_cell_apart_and_leaves_the_trunk_alone() -> None:
    labels = parity((16, 16, 16))
    held_out = [LabelledVolume(torch.randn(16, 16, 16, generator=seeded(5)).numpy(), labels.numpy())]
    trunk = random_trunk(TINY, 1)
    weights = {name: value.clone() for name, value in trunk.named_parameters()}
    dice = probe_semantic(trunk, Parity(), held_out, PROBE)
    assert dice["all"] == pytest.approx(1.0)
    assert math.isnan(dice["filament"])
    assert all(torch.equal(value, weights[name]) for name, value in trunk.named_parameters())
    assert probe_semantic(random_trunk(TINY, 1), Parity(), held_out, PROBE) == pytest.approx(dice, nan_ok=True)


def specimens(folder: Path, counts: dict[str, int]) -> list[StoredSpecimen]:
    return [StoredSpecimen(folder / f"{name}-{seed:05d}") for name, n in counts.items() for seed in range(n)]


@given(general=st.integers(2, 40), chromatin=st.integers(2, 10), seed=st.integers(0, 99))
def test_specimens_held_out_are_seen_nowhere_else(general: int, chromatin: int, seed: int) -> None:
    split = split_specimens(specimens(Path("x"), {"general": general, "chromatin": chromatin}), seed=seed)
    assert not set(split.held_out) & set(split.unlabelled)
    assert set(split.labelled) <= set(split.unlabelled)
    assert len(split.held_out) + len(split.unlabelled) == general + chromatin
    for part in (split.unlabelled, split.labelled, split.held_out):
        assert {one.folder.name.split("-")[0] for one in part} == {"general", "chromatin"}


def test_a_preset_of_one_specimen_cannot_be_split() -> None:
    with pytest.raises(TrainingError, match="there is one of 'general'"):
        split_specimens(specimens(Path("x"), {"general": 1}))
