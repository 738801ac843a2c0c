"""Several networks over one tomogram: each reads what the authors' program would show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cryosiam.domain import ArrayVolume, Contrast, Tomogram
from cryosiam.inference.normalisation import measure_normalisation
from cryosiam.stages.check.run import CheckedInput
from cryosiam.stages.dense.products import denoised_scale, dense_products
from cryosiam.stages.dense.run import DenseStage
from cryosiam.stages.scratch import Scratch
from cryosiam.stages.stage import Resources, StageWork, WeightsUsed
from cryosiam.weights import load_dense_parts
from cryosiam.weights.importing import import_checkpoint
from cryosiam.weights.upstream import UpstreamTask

from .upstream_layout import state_of, task_output, write_checkpoint


def unit(x: Tensor) -> Tensor:
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize(("contrast", "sign"), [(Contrast.DARK, -1), (Contrast.BRIGHT, 1)])
@torch.no_grad()
def test_what_one_denoises_others_read_from_0_to_1(tmp_path: Path, contrast: Contrast, sign: int) -> None:
    states = {task: state_of(task) for task in ("denoise", "instance", "lamella")}
    for task, state in states.items():
        import_checkpoint(write_checkpoint(tmp_path / "a.ckpt", state), UpstreamTask(task), tmp_path / "weights")
    volume = np.random.default_rng(0).normal(size=(16, 24, 16)).astype(np.float32)
    tomogram = Tomogram("TS_1", ArrayVolume(volume), 6.8, "wbp", "here", contrast=contrast)
    scratch = Scratch(tmp_path / "scratch")
    measured = measure_normalisation(tomogram.volume, run="TS_1", source="here")
    CheckedInput(measured.to_unit_range(sign), sign, 6.8).save(scratch)
    notes: list[str] = []
    work = StageWork(tomogram, scratch, Resources(precision="float32"), lambda *_: None, notes.append, notes.append)
    stage = DenseStage(WeightsUsed("x", "0" * 64), lambda: load_dense_parts(tmp_path / "weights"))
    record: dict[str, Any] = stage.run(work)

    clipped = np.clip(volume, measured.low, measured.high)
    shown = unit(torch.from_numpy(sign * clipped))[None, None]
    denoised = task_output(states["denoise"], "cnn_head", shown)
    products = dense_products(scratch)
    np.testing.assert_allclose(sign * products.array("denoised"), denoised[0, 0], rtol=2e-3, atol=2e-3)
    stored = torch.from_numpy(sign * np.asarray(products.array("denoised"), np.float32))
    second = unit(stored)[None, None]
    for name in ("foreground", "boundary"):
        likely = task_output(states["instance"], f"{name}_head", second).sigmoid()[0, 0]
        np.testing.assert_allclose(products.array(name), 255 * likely, atol=0.6)
    distance = task_output(states["instance"], "distance_head", second)[0, 0]
    np.testing.assert_allclose(products.array("distance"), distance, rtol=2e-3, atol=2e-3)
    sample = task_output(states["lamella"], "semantic_head", second).sigmoid()
    blocks = torch.nn.functional.avg_pool3d(sample, 8)[0, 0]
    np.testing.assert_allclose(products.array("sample"), blocks, atol=1e-4)
    assert len(record["networks"]) == 3
    assert not notes
    assert [path.name for path in (tmp_path / "scratch" / "maps").iterdir()] == ["dense"]
    again = denoised_scale(scratch, sign).apply(np.asarray(products.array("denoised"), np.float32))
    np.testing.assert_allclose(sign * again, second[0, 0], atol=1e-5)


def test_without_a_denoising_network_the_tomogram_is_taken_as_it_is(tmp_path: Path) -> None:
    import_checkpoint(
        write_checkpoint(tmp_path / "a.ckpt", state_of("instance")), UpstreamTask.INSTANCE, tmp_path / "weights"
    )
    volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    tomogram = Tomogram("TS_1", ArrayVolume(volume), 6.8, "wbp", "here")
    scratch = Scratch(tmp_path / "scratch")
    CheckedInput(measure_normalisation(tomogram.volume, run="a", source="b").to_unit_range(), 1, 6.8).save(scratch)
    notes: list[str] = []
    work = StageWork(tomogram, scratch, Resources(), lambda *_: None, notes.append, notes.append)
    DenseStage(WeightsUsed("x", "0" * 64), lambda: load_dense_parts(tmp_path / "weights")).run(work)
    assert set(dense_products(scratch).names) == {"foreground", "boundary", "distance"}
    assert ["denoised" in note for note in notes] == [True]
