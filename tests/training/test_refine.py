"""Training a dense network on, as it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cryosiam.errors import InputError
from cryosiam.simulation.build import species_wanted
from cryosiam.simulation.sources import load_all
from cryosiam.training.data import SimulatedSource
from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
from cryosiam.training.recipe import Recipe, RefineRecipe, SpecimenGroup, read_recipe
from cryosiam.training.refine import NetworkDenoiser, Refining, mix_weights, refine, refine_task, with_specimens
from cryosiam.training.specimens import make_specimens
from cryosiam.training.starting import Start, open_start
from cryosiam.weights import load_dense

VOXEL = 10.0
HOW = RefineRecipe(steps=3, batch=1, learning_rate=0.001, warmup_steps=1, clear=0.4, denoised=0.4)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSource:
    group = SpecimenGroup(preset="demo", seeds=(1, 1), shape_zyx=(80, 64, 64), share=1.0)
    folder: Path = tmp_path_factory.mktemp("specimens")
    specimens = make_specimens(
        folder, group, VOXEL, lambda spec: load_all(species_wanted(spec), VOXEL), lambda line: None
    )
    return SimulatedSource(specimens, np.ones(1))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe("light").model_copy(update={"refine": HOW, "patch_zyx": (32, 48, 48)})


@pytest.fixture(scope="module")
def start(recipe: Recipe) -> Start:
    return open_start("light", recipe)


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in network.state_dict().items() if "running" in name}


def test_everything_learns_but_the_batch_statistics(
    source: SimulatedSource, recipe: Recipe, start: Start, tmp_path: Path
) -> None:
    before = start.dense[0].network
    task = refine_task(recipe, source, [], start)
    learnt = fit(task, HOW, tmp_path).model
    assert statistics(before)
    for name, value in statistics(before).items():
        assert torch.equal(statistics(learnt)[name], value), name
    for (name, old), new in zip(before.named_parameters(), learnt.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_it_starts_with_what_the_network_says_in_use(source: SimulatedSource, recipe: Recipe, start: Start) -> None:
    task = refine_task(recipe, source, [], start)
    batch = task.batches(0)
    with torch.no_grad():
        expected = start.dense[0].network.eval()(batch["noisy"])
        for name, value in task.model.eval()(batch["noisy"]).items():
            torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)


def test_it_is_shown_what_its_denoiser_makes_of_tomograms() -> None:
    network = load_dense("light").network.eval()
    noisy = np.random.default_rng(1).standard_normal((48, 64, 56)).astype(np.float32)
    denoised = NetworkDenoiser(network)(noisy)
    with torch.no_grad():
        expected = network(torch.from_numpy(noisy)[None, None])["denoise"][0, 0].numpy()
    assert denoised.dtype == np.float32
    # Half precision, on the way and in what is kept.
    assert np.abs(denoised - expected).max() < 0.05 * float(expected.std()) + 0.02


@pytest.mark.parametrize("stage", ["refine", "rebalance", "broaden"])
def test_a_recipe_without_the_entry_is_refused(
    source: SimulatedSource, recipe: Recipe, start: Start, stage: Refining
) -> None:
    with pytest.raises(InputError, match=f"no entry '{stage}'"):
        refine_task(recipe.model_copy(update={stage: None}), source, [], start, stage)


def test_each_stage_goes_by_its_own_entry(source: SimulatedSource, recipe: Recipe, start: Start) -> None:
    own = recipe.model_copy(update={"rebalance": HOW.model_copy(update={"seed": 5})})
    refined, rebalanced, again = (
        refine_task(own, source, [], start, stage).batches(0)["noisy"] for stage in ("refine", "rebalance", "rebalance")
    )
    assert not torch.equal(refined, rebalanced)
    assert torch.equal(rebalanced, again)


def test_a_stage_may_learn_from_other_specimens(recipe: Recipe) -> None:
    assert recipe.rebalance is not None
    assert with_specimens(recipe, recipe.rebalance).specimens == recipe.rebalance.specimens
    assert with_specimens(recipe, HOW) is recipe


def test_the_card_names_all_that_the_network_learnt_from(
    source: SimulatedSource, recipe: Recipe, start: Start, tmp_path: Path
) -> None:
    own = recipe.model_copy(
        update={
            "refine": HOW.model_copy(update={"clear": 0.0, "denoised": 0.0}),
            "specimens": (SpecimenGroup(preset="demo", seeds=(1, 1), shape_zyx=(80, 64, 64), share=1.0),),
        }
    )
    card = refine(own, source, [], tmp_path, Limits(), lambda line: None, start=Path("light"))
    before = start.dense[0].card.training
    assert card is not None
    assert before is not None
    assert card.training is not None
    assert before.data in card.training.data
    assert "demo 1 to 1" in card.training.data
    assert card.training.hours >= before.hours


def test_mixed_weights_lie_between_old_and_new() -> None:
    old, new = load_dense("light").network, load_dense("light").network
    with torch.no_grad():
        for weights in new.parameters():
            weights.add_(1.0)
    statistics_before = {name: value.clone() for name, value in statistics(new).items()}
    mix_weights(new, old, 0.3)
    for before, mixed in zip(old.parameters(), new.parameters(), strict=True):
        torch.testing.assert_close(mixed, before + 0.7)
    for name, value in statistics(new).items():
        assert torch.equal(value, statistics_before[name]), name


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sum to 1\.3"):
        RefineRecipe(steps=1, batch=1, learning_rate=0.1, clear=0.7, denoised=0.6)
