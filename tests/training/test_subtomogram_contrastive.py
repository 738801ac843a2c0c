"""Contrastive learning: the loss of equation 17, pairs matched in size, and that a network learns by them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryosiam.errors import InputError
from cryosiam.networks.config import EncoderConfig, SubtomogramConfig
from cryosiam.networks.subtomogram import SubtomogramNetwork
from cryosiam.training.contrastive import (
    NamingModel,
    Objective,
    SizeMatched,
    contrastive,
    contrastive_loss,
    contrastive_task,
    objective_losses,
    pairs_in_groups,
    size_neighbours,
    species_sizes,
)
from cryosiam.training.cubes import StoredCubes
from cryosiam.training.fit import fit
from cryosiam.training.limits import Limits
from cryosiam.training.particles import Particles
from cryosiam.training.recipe import OptimiserRecipe, read_recipe
from cryosiam.weights import Training

TINY = SubtomogramConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)), box=16, embedding_channels=8
)


def equation_17(e1: NDArray[np.float64], e2: NDArray[np.float64], y: NDArray[np.int64], margin: float) -> list[float]:
    losses = []
    for a, b, same in zip(e1, e2, y, strict=True):
        d = np.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True)))
        losses.append(float(same * d**2 + (1 - same) * max(0.0, margin - d) ** 2))
    return losses


def test_loss_of_a_hand_worked_case() -> None:
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    second = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.6, 0.8], [0.6, 0.8]])
    same = torch.tensor([True, False, False, False])
    # Distances: root of 2 twice, root of 0.8, 0.
    expected = torch.tensor([2.0, 0.0, (1 - 0.8**0.5) ** 2, 1.0])
    torch.testing.assert_close(contrastive_loss(first, second, same, margin=1.0), expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 3.0))
def test_loss_agrees_with_the_equation_written_out(seed: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    e1, e2, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), rng.integers(0, 2, 6)
    ours = contrastive_loss(torch.from_numpy(e1), torch.from_numpy(e2), torch.from_numpy(y) > 0, margin)
    assert ours.tolist() == pytest.approx(equation_17(e1, e2, y, margin), rel=1e-4, abs=1e-5)


def test_equal_embeddings_have_a_gradient() -> None:
    one = torch.zeros(2, 4, requires_grad=True)
    contrastive_loss(one, torch.zeros(2, 4), torch.tensor([True, False]), 1.0).sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_pairs_are_all_of_one_species_and_others_of_the_same_group_only() -> None:
    label, group = torch.tensor([0, 0, 1, 0, 2]), torch.tensor([0, 0, 0, 1, 1])
    first, second, same = pairs_in_groups(label, group)
    found = {(int(a), int(b)): bool(y) for a, b, y in zip(first, second, same, strict=True)}
    assert found == {
        (0, 1): True,
        (0, 2): False,
        (1, 2): False,
        (0, 3): True,
        (1, 3): True,
        (3, 4): False,
    }


def particles(count: int = 16, names: tuple[str, ...] = ("a", "b", "c", "d")) -> Particles:
    """Boxes of another length for every species, in four specimens."""
    values = np.zeros((count * len(names), 1, 16, 16, 16), np.float16)
    for index in range(len(values)):
        length = 2 + 3 * (index % len(names))
        values[index, 0, 6:10, 6:10, 8 - length // 2 : 8 + length - length // 2] = -1 - 0.05 * (index % 5)
    each = tuple(names[index % len(names)] for index in range(len(values)))
    sources = tuple(f"training-{index * 4 // len(values):05d}" for index in range(len(values)))
    voxels = (values != 0).sum(axis=(1, 2, 3, 4)).astype(np.int64)
    masses = {name: 100.0 * 2**number for number, name in enumerate(names)}
    return Particles(StoredCubes.of(values), each, sources, np.zeros(len(values), np.int64), voxels, masses)


def test_negatives_are_of_the_nearest_sizes() -> None:
    sizes = np.array([100.0, 5000, 110, 90, 4000, 105, 95, 6000, 120])
    alike = size_neighbours(sizes)
    assert set(alike[0].tolist()) == {2, 3, 5, 6, 8, 4}
    assert alike[0].tolist()[:2] == [5, 6]
    assert all(number not in row for number, row in enumerate(alike))


def test_size_is_mass_or_where_it_is_not_known_the_size_found() -> None:
    whole = particles()
    assert species_sizes(whole).tolist() == [100, 200, 400, 800]
    unknown = Particles(whole.stored, whole.names, whole.sources, whole.objects, whole.voxels, {"a": 100.0})
    assert species_sizes(unknown).tolist() == [32, 80, 128, 176]


def test_batches_depend_on_seed_and_number_alone() -> None:
    batches = SizeMatched(particles(), 32, 3)
    batches(0)
    one, again, other = batches(7), SizeMatched(particles(), 32, 3)(7), batches(8)
    for name, value in one.items():
        torch.testing.assert_close(value, again[name])
    assert not torch.equal(one["view"], other["view"])
    assert one["view"].shape == (32, 1, 16, 16, 16)
    for group in (0, 1):
        assert sorted(one["label"][one["group"] == group].tolist()) == sorted([0, 1, 2, 3] * 4)


def test_particles_without_a_name_are_left_out_and_one_species_is_refused() -> None:
    whole = particles()
    torch.manual_seed(0)
    network = SubtomogramNetwork(TINY)
    single = whole.select(np.array([name == "a" for name in whole.names]))
    with pytest.raises(InputError, match="two or more, not 1"):
        contrastive_task(network, single, single, 8, 1)
    with pytest.raises(InputError, match="batches of 4"):
        contrastive_task(network, whole, whole, 3, 1)


@pytest.mark.parametrize("objective", [Objective(), Objective(names=0.0)])
def test_a_network_learns_to_tell_species_apart(objective: Objective, tmp_path: Path) -> None:
    learnt, held_out = particles().split(4)
    torch.manual_seed(0)
    task = contrastive_task(SubtomogramNetwork(TINY), learnt, held_out, 32, 1, objective)
    batch = task.batches(10_000)
    before = {name: value.detach().item() for name, value in task.losses(task.model, batch).items()}
    recipe = OptimiserRecipe(steps=30, batch=32, learning_rate=0.01, warmup_steps=5, average_decay=0.7)
    trained = fit(task, recipe, tmp_path)
    model = cast("NamingModel", trained.model)
    after = {name: value.detach().item() for name, value in objective_losses(model, batch, objective).items()}
    assert trained.finished
    assert after["total"] < 0.3 * before["total"]


def test_the_card_names_all_that_the_network_learnt_from(tmp_path: Path) -> None:
    optimiser = OptimiserRecipe(steps=1, batch=8, learning_rate=0.001, warmup_steps=0)
    recipe = read_recipe("light").model_copy(update={"contrastive": optimiser})
    pretraining = "cryosiam train pretrain-subtomogram --recipe light"
    before = Training(recipe=pretraining, data="five", parameters={"pretrain": 1}, hours=0.5, machine="x")
    card = contrastive(recipe, particles(), tmp_path, Limits(), lambda _: None, SubtomogramNetwork(TINY), before=before)
    assert card is not None
    training = card.training
    assert training.recipe == f"{pretraining}; cryosiam train contrastive --recipe light"
    assert training.data.startswith("five; 64 particles that the dense weights found in 4 simulated specimens")
    assert set(training.parameters) == {"pretrain", "contrastive"}
    assert training.hours >= 0.5
