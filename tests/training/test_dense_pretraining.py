"""Pretraining of the dense network: the thesis' equations, views that show the same voxels, a trunk that is kept."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from cryosiam.errors import InputError
from cryosiam.networks.config import DENSE_PRESETS, DenseConfig, EncoderConfig
from cryosiam.networks.simsiam import DenseSimSiam, negative_cosine, symmetric_loss
from cryosiam.training.collapse import measure_health
from cryosiam.training.dense_pretraining import pretrain_dense, pretraining_task, voxel_embeddings
from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
from cryosiam.training.recipe import OptimiserRecipe, Recipe, read_recipe
from cryosiam.training.starting import open_start, starting_network
from cryosiam.training.task import Batches
from cryosiam.training.two_views import SelfSupervision

TINY = DenseConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)), fpn_channels=8, embedding_channels=16
)
PLAN = SelfSupervision(patch_zyx=(24, 24, 24), view_zyx=(16, 16, 16), global_channels=16)


class Blobs:
    """Patches of noise with dark balls in them."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        def one(number: int) -> dict[str, Tensor]:
            made = [blobs(size_zyx, np.random.default_rng([seed, number, index])) for index in range(batch)]
            return {"noisy": torch.from_numpy(np.stack(made))[:, None]}

        return one


def blobs(shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    grid = np.indices(shape)
    centres = rng.uniform(0, min(shape), (3, 3))
    inside = np.any([((grid - centre[:, None, None, None]) ** 2).sum(0) < 16 for centre in centres], axis=0)
    noisy = rng.standard_normal(shape, np.float32) - 2 * inside.astype(np.float32)
    return (noisy - noisy.mean()) / noisy.std()


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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gradients_are_right_in_the_precision_that_is_asked_for(seed: int) -> None:
    """In half precision a coarsest map of 2 cells an edge gives gradients of any size."""
    plan = SelfSupervision(patch_zyx=(16, 16, 16), view_zyx=(16, 16, 16), global_channels=16)
    task = pretraining_task(DENSE_PRESETS["light"], plan, Blobs(), 2, seed)
    with torch.autocast("cpu", torch.bfloat16, enabled=task.half_precision):
        losses = task.losses(task.model, task.batches(0))
    losses["total"].backward()
    assert all(p.grad.norm() < 100 for p in task.model.parameters() if p.grad is not None)


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
