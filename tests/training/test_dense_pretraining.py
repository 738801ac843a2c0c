"""Pretraining of the dense network: the thesis' equations, views that show the same voxels, a trunk that is kept."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from cryosiam.errors import InputError, TrainingError
from cryosiam.networks.config import DENSE_PRESETS, DenseConfig, EncoderConfig
from cryosiam.networks.simsiam import DenseSimSiam, crop, negative_cosine, symmetric_loss
from cryosiam.training.augment.views import ViewRecipe
from cryosiam.training.collapse import measure_health
from cryosiam.training.dense_pretraining import pretrain_dense, pretraining_task, voxel_embeddings
from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
from cryosiam.training.probe import (
    LabelledVolume,
    ProbeBudget,
    probe_semantic,
    random_trunk,
    split_specimens,
)
from cryosiam.training.recipe import OptimiserRecipe, Recipe, read_recipe
from cryosiam.training.specimens import StoredSpecimen
from cryosiam.training.starting import open_start, starting_network
from cryosiam.training.task import Batches
from cryosiam.training.two_views import SelfSupervision, TwoViewBatches, draw_crops

TINY = DenseConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)), fpn_channels=8, embedding_channels=16
)
PLAN = SelfSupervision(patch_zyx=(24, 24, 24), view_zyx=(16, 16, 16), global_channels=16)
UNCHANGED = ViewRecipe(
    low_pass_sigma_voxels=None,
    high_pass_narrow_sigma_voxels=None,
    high_pass_wide_sigma_voxels=None,
    noise_sigma=None,
    masked_share=None,
)


class Blobs:
    """Patches of noise with balls in them; the balls are particles."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        def one(number: int) -> dict[str, Tensor]:
            made = [blobs(size_zyx, np.random.default_rng([seed, number, index])) for index in range(batch)]
            return {
                "noisy": torch.from_numpy(np.stack([noisy for noisy, _ in made]))[:, None],
                "semantic": torch.from_numpy(np.stack([labels for _, labels in made])),
            }

        return one


def blobs(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    centres = rng.uniform(0, min(shape), (3, 3))
    inside = np.any([((grid - c[:, None, None, None]) ** 2).sum(0) < 16 for c in centres], axis=0)
    noisy = rng.standard_normal(shape, np.float32) - 2 * inside.astype(np.float32)
    return (noisy - noisy.mean()) / noisy.std(), np.where(inside, 2, 0).astype(np.int64)


class Numbered:
    """Patches whose voxels tell where in the patch they lie."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        numbers = torch.arange(math.prod(size_zyx), dtype=torch.float32).reshape(1, 1, *size_zyx)
        return lambda number: {"noisy": numbers.expand(batch, 1, *size_zyx)}


def test_loss_of_a_hand_worked_case() -> None:
    # cos 45 degrees one way and cos 60 the other, so half of -0.7071 and half of -0.5 (eq. 1 and 2).
    p1, z2 = torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, 0.0]])
    p2, z1 = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, math.sqrt(3) / 2]])
    assert symmetric_loss(p1, z1, p2, z2).item() == pytest.approx(-0.5 * (math.sqrt(0.5) + 0.5), abs=1e-6)


def test_dense_loss_is_the_mean_over_voxels_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    p, z = rng.normal(size=(2, 5, 3, 2, 2)), rng.normal(size=(2, 5, 3, 2, 2))
    cosines = (p * z).sum(1) / np.sqrt((p**2).sum(1) * (z**2).sum(1))
    found = negative_cosine(torch.from_numpy(p), torch.from_numpy(z)).item()
    assert found == pytest.approx(-cosines.mean(), abs=1e-6)


def test_identical_views_and_perfect_predictors_give_minus_one() -> None:
    torch.manual_seed(0)
    model = DenseSimSiam(TINY, 16)
    model.global_predictor = nn.Identity()
    model.dense_predictor = nn.Identity()
    model.level_predictors[0] = nn.Identity()
    view = torch.randn(4, 1, 16, 16, 16)
    whole = ((0, 0, 0), (16, 16, 16))
    losses = model(view, view, whole, whole)
    for name in ("global", "dense", "level"):
        assert losses[name].item() == pytest.approx(-1.0, abs=1e-5)
    assert losses["total"].item() == pytest.approx(-3.0, abs=1e-5)


def test_losses_compare_the_overlap_alone() -> None:
    """Whatever else the views show: embeddings beyond the overlap change neither dense nor level loss."""
    torch.manual_seed(0)
    model = DenseSimSiam(TINY, 16).eval()
    volume = torch.randn(1, 1, 96, 16, 16)
    # The network sees less than 20 voxels to each side, so that nothing from beyond reaches the overlap.
    shared = ((40, 0, 0), (44, 16, 16))
    other = volume.clone()
    other[:, :, :12] = 5.0
    before, after = model(volume, volume, shared, shared), model(other, volume, shared, shared)
    assert after["dense"].item() == pytest.approx(before["dense"].item(), abs=1e-6)
    assert after["level"].item() == pytest.approx(before["level"].item(), abs=1e-6)
    assert after["global"].item() != pytest.approx(before["global"].item(), abs=1e-6)


def test_a_level_pools_the_finest_map_as_often_as_it_says() -> None:
    model = DenseSimSiam(DenseConfig(encoder=EncoderConfig(stem_stride=1, planes=(2, 2, 2, 2))), 16, levels=(1, 2, 3))
    _, dense, levels = model.eval().represent(torch.zeros(1, 1, 16, 16, 16))
    assert [dense.shape[-1] // level.shape[-1] for level in levels] == [2, 4, 8]
    for wrong in (0, 4):
        with pytest.raises(ValueError, match="levels are from 1 to 3"):
            DenseSimSiam(model.trunk.config, 16, levels=(wrong,))


def test_overlaps_off_the_coarsest_grid_are_refused() -> None:
    model = DenseSimSiam(TINY, 16)
    view = torch.zeros(2, 1, 16, 16, 16)
    with pytest.raises(ValueError, match="multiples of 4 voxels"):
        model(view, view, ((2, 0, 0), (16, 16, 16)), ((0, 0, 0), (14, 16, 16)))
    with pytest.raises(ValueError, match="of one size"):
        model(view, view, ((4, 0, 0), (16, 16, 16)), ((0, 0, 0), (8, 16, 16)))


SIZES = st.tuples(*[st.integers(1, 6)] * 3)


@settings(max_examples=50)
@given(
    view=SIZES,
    room=SIZES,
    stride=st.sampled_from([1, 2, 4, 8]),
    seed=st.integers(0, 2**32 - 1),
)
def test_overlap_regions_of_both_views_show_the_same_voxels(
    view: tuple[int, int, int], room: tuple[int, int, int], stride: int, seed: int
) -> None:
    size = (view[0] * stride, view[1] * stride, view[2] * stride)
    extra = [min(r * stride + 1, n - 1) for r, n in zip(room, size, strict=True)]
    patch = (size[0] + extra[0], size[1] + extra[1], size[2] + extra[2])
    crops = draw_crops(patch, size, stride, np.random.default_rng(seed))
    voxels = torch.arange(math.prod(patch)).reshape(1, 1, *patch)
    first, second = (voxels[0, 0][crops.slices(side)][None, None] for side in (0, 1))
    assert first.shape == second.shape == (1, 1, *size)
    seen = crop(first, crops.overlap(0), 1)
    assert torch.equal(seen, crop(second, crops.overlap(1), 1))
    # Nothing that both show is left out.
    assert set(seen.flatten().tolist()) == set(first.flatten().tolist()) & set(second.flatten().tolist())
    # The same at the coarsest stride, where a cell is named by its first voxel.
    coarse = [one[..., ::stride, ::stride, ::stride] for one in (first, second)]
    assert torch.equal(crop(coarse[0], crops.overlap(0), stride), crop(coarse[1], crops.overlap(1), stride))


def test_batches_cut_views_where_they_say_and_come_again() -> None:
    plan = PLAN.model_copy(update={"views": UNCHANGED})
    made = [TwoViewBatches(Numbered().batches(plan.patch_zyx, 3, 1), plan, 4, 1) for _ in range(2)]
    starts = set()
    for number in range(8):
        batch, again = made[0](number), made[1](number)
        assert all(torch.equal(batch[name], again[name]) for name in batch)
        assert all(len(value) == 3 for value in batch.values())
        (a1, b1), (a2, b2) = batch["overlap"][0].tolist()
        first, second = crop(batch["view1"], (a1, b1), 1), crop(batch["view2"], (a2, b2), 1)
        assert torch.equal(first, second)
        starts.add(batch["view1"][0, 0, 0, 0, 0].item())
    assert len(starts) > 1


def test_views_are_changed_each_in_its_own_way() -> None:
    masked = UNCHANGED.model_copy(update={"masked_share": (0.3, 0.3)})
    plan = SelfSupervision(patch_zyx=(16, 16, 16), view_zyx=(16, 16, 16), views=masked)
    batch = TwoViewBatches(Blobs().batches(plan.patch_zyx, 2, 1), plan, 4, 1)(0)
    assert not torch.equal(batch["view1"], batch["view2"])
    assert not torch.equal(batch["view1"][0], batch["view1"][1])


def test_pretraining_lowers_the_loss_and_does_not_collapse(tmp_path: Path) -> None:
    optimiser = OptimiserRecipe(steps=30, batch=4, learning_rate=2e-2, warmup_steps=3, average_decay=0.5)
    task = pretraining_task(TINY, PLAN, Blobs(), 4, 1)
    assert task.embeddings is voxel_embeddings
    with torch.no_grad():
        before = task.losses(task.model.train(), task.batches(1000))["total"].item()
    trained = fit(task, optimiser, tmp_path)
    with torch.no_grad():
        after = task.losses(trained.model.train(), task.batches(1000))["total"].item()
        health = measure_health(voxel_embeddings(trained.model.eval(), task.batches(1000)))
    assert after < before - 0.3
    assert not health.collapsed
    assert health.effective_rank > 3


def test_losses_that_do_not_count_teach_nothing() -> None:
    plan = PLAN.model_copy(update={"losses": ("dense",)})
    task = pretraining_task(TINY, plan, Blobs(), 2, 1)
    values = task.losses(task.model, task.batches(0))
    assert values["total"].item() == pytest.approx(values["dense"].item())
    values["total"].backward()
    model = task.model
    assert isinstance(model, DenseSimSiam)
    assert all(not p.grad.any() for p in model.global_projector.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in model.parameters())


def small_recipe(steps: int = 2) -> Recipe:
    shipped = read_recipe("light")
    optimiser = OptimiserRecipe(steps=steps, batch=2, learning_rate=1e-3, warmup_steps=1, average_decay=0.5)
    plan = SelfSupervision(patch_zyx=(16, 16, 16), view_zyx=(16, 16, 16), global_channels=16)
    return shipped.model_copy(update={"pretrain_dense": optimiser, "self_supervision": plan})


def test_a_trunk_goes_through_the_weights_folder_into_a_network(tmp_path: Path) -> None:
    recipe = small_recipe()
    card = pretrain_dense(recipe, Blobs(), tmp_path, Limits(), lambda line: None)
    assert card is not None
    assert json.loads((tmp_path / "weights" / "pretraining.json").read_text())["training"]["parameters"]["levels"] == [
        1
    ]
    network = starting_network(recipe, ("semantic",), open_start(tmp_path / "weights", recipe))
    # The optimiser is done, so training again only gives back what it made.
    task = pretraining_task(DENSE_PRESETS["light"], recipe.self_supervision, Blobs(), 2, 1)
    model = fit(task, recipe.pretrain_dense, tmp_path / "pretrain-dense").model
    assert isinstance(model, DenseSimSiam)
    view = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network.eval().trunk(view), model.eval().trunk(view), rtol=0.02, atol=0.02)


def test_out_of_time_leaves_no_weights_and_goes_on_later(tmp_path: Path) -> None:
    recipe = small_recipe(steps=3)
    assert pretrain_dense(recipe, Blobs(), tmp_path, Limits(time_budget_s=0.0), lambda line: None) is None
    assert not (tmp_path / "weights" / "pretraining.json").exists()
    assert pretrain_dense(recipe, Blobs(), tmp_path, Limits(), lambda line: None) is not None


def test_what_does_not_fit_the_network_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="levels 3; this network has 1 to 1"):
        pretraining_task(TINY, PLAN.model_copy(update={"levels": (3,)}), Blobs(), 2, 1)
    with pytest.raises(InputError, match="multiples of 4"):
        pretraining_task(TINY, PLAN.model_copy(update={"view_zyx": (18, 18, 18)}), Blobs(), 2, 1)
    with pytest.raises(InputError, match="batch of 2 or more"):
        pretraining_task(TINY, PLAN, Blobs(), 1, 1)
    named = small_recipe().model_copy(update={"name": "none"})
    with pytest.raises(InputError, match="names no network"):
        pretrain_dense(named, Blobs(), tmp_path, Limits(), lambda line: None)
    with pytest.raises(ValidationError, match="more than half"):
        SelfSupervision(patch_zyx=(64, 64, 64), view_zyx=(32, 48, 48))


PROBE = ProbeBudget(patches=8, patch_zyx=(16, 16, 16), steps=60, cells=512, learning_rate=0.05)


class Telling:
    """Patches whose grey values tell the class."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        def one(number: int) -> dict[str, Tensor]:
            noisy, labels = told((batch, *size_zyx), seed * 1000 + number)
            return {"noisy": noisy[:, None], "semantic": labels}

        return one


def told(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    coarse = torch.rand(tuple(n if axis == 0 else n // 4 for axis, n in enumerate(shape)), generator=seeded(seed))
    labels = (coarse * 6).long()
    for axis in (1, 2, 3):
        labels = labels.repeat_interleave(4, dim=axis)
    return (labels.float() - 2.5) / 1.7, labels


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_probe_finds_classes_that_can_be_seen_and_leaves_the_trunk_alone() -> None:
    noisy, labels = told((1, 16, 16, 16), 77)
    held_out = [LabelledVolume(noisy[0].numpy(), labels[0].numpy())]
    trunk = random_trunk(TINY, 1)
    weights = {name: value.clone() for name, value in trunk.named_parameters()}
    dice = probe_semantic(trunk, Telling(), held_out, PROBE, seed=1)
    assert all(torch.equal(value, weights[name]) for name, value in trunk.named_parameters())
    assert dice["all"] > 0.3
    shuffled = [LabelledVolume(noisy[0].flip(0, 1, 2).numpy().copy(), labels[0].numpy())]
    assert probe_semantic(trunk, Telling(), shuffled, PROBE, seed=1)["all"] < dice["all"] - 0.1
    assert probe_semantic(random_trunk(TINY, 1), Telling(), held_out, PROBE, seed=1) == dice


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


def test_the_probe_tells_the_voxels_of_a_cell_apart() -> None:
    labels = parity((16, 16, 16))
    held_out = [LabelledVolume(torch.randn(16, 16, 16, generator=seeded(5)).numpy(), labels.numpy())]
    dice = probe_semantic(random_trunk(TINY, 1), Parity(), held_out, PROBE)
    assert dice["all"] == pytest.approx(1.0)
    assert math.isnan(dice["filament"])


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
