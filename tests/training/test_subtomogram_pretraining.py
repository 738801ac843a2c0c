"""SimSiam pretraining of the subtomogram network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryosiam.errors import InputError
from cryosiam.networks.config import EncoderConfig, SubtomogramConfig
from cryosiam.networks.subtomogram import SubtomogramNetwork
from cryosiam.training.cubes import StoredCubes
from cryosiam.training.embedding import embed, neighbour_validation
from cryosiam.training.fit import fit
from cryosiam.training.particles import Particles
from cryosiam.training.recipe import OptimiserRecipe
from cryosiam.training.subtomogram_pretraining import ViewPairs, network_of, network_preset, pretraining_task

TINY = SubtomogramConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)), box=16, embedding_channels=8
)


def particles(count: int = 24, specimens: int = 4) -> Particles:
    rng = np.random.default_rng(0)
    values = np.zeros((count, 1, 16, 16, 16), np.float16)
    values[::2, 0, 6:10, 6:10, 6:10] = -1
    values[1::2, 0, 6:10, 4:12, 7:9] = -1
    values += (0.05 * rng.normal(size=values.shape)).astype(np.float16) * (values != 0)
    names = tuple("ab"[index % 2] for index in range(count))
    sources = tuple(f"training-{index * specimens // count:05d}" for index in range(count))
    return Particles(StoredCubes.of(values), names, sources, np.arange(count) // 2 + 1, np.full(count, 64), {})


def test_batches_depend_on_seed_and_number_alone() -> None:
    batches = ViewPairs(particles(), 6, 3)
    batches(0)
    one, again = batches(5), ViewPairs(particles(), 6, 3)(5)
    for name in ("view1", "view2"):
        assert one[name].shape == (6, 1, 16, 16, 16)
        torch.testing.assert_close(one[name], again[name])
    assert not torch.equal(one["view1"], one["view2"])
    assert not torch.equal(one["view1"], ViewPairs(particles(), 6, 4)(5)["view1"])


def test_names_are_not_looked_at() -> None:
    whole = particles()
    unnamed = Particles(whole.stored, ("",) * len(whole), whole.sources, whole.objects, whole.voxels, {})
    torch.testing.assert_close(ViewPairs(whole, 6, 3)(1)["view1"], ViewPairs(unnamed, 6, 3)(1)["view1"])


def test_views_of_a_particle_come_to_lie_together(tmp_path: Path) -> None:
    learnt, held_out = particles().split(4)
    task = pretraining_task(TINY, learnt, held_out, 8, 1)
    assert not task.half_precision
    batch = task.batches(10_000)
    before = task.losses(task.model, batch)["total"].detach().item()
    trained = fit(task, OptimiserRecipe(steps=30, batch=8, learning_rate=0.01, warmup_steps=5), tmp_path)
    assert task.losses(task.model, batch)["total"].detach().item() < before - 0.1
    assert trained.finished
    assert embed(network_of(trained.model), learnt).shape == (len(learnt), 8)


def test_nothing_to_learn_from_is_refused() -> None:
    none = particles().select(np.zeros(24, bool))
    with pytest.raises(InputError, match="0 are there"):
        pretraining_task(TINY, none, none, 8, 1)
    with pytest.raises(InputError, match="names no network"):
        network_preset("huge")


def test_embeddings_are_those_of_the_network_and_leave_it_as_it_is() -> None:
    torch.manual_seed(0)
    network = SubtomogramNetwork(TINY).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = particles()
    ours = embed(network, whole)
    with torch.inference_mode():
        theirs = network(whole.cubes(np.arange(len(whole))))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
    assert np.linalg.norm(ours, axis=1) == pytest.approx(np.ones(24), abs=1e-4)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_validation_asks_for_neighbours_of_other_specimens() -> None:
    torch.manual_seed(0)
    network = SubtomogramNetwork(TINY).eval()
    assert neighbour_validation(particles(specimens=1), lambda model: network) is None
    validate = neighbour_validation(particles(), lambda model: network)
    assert validate is not None
    # Shapes this different are told apart by any network.
    assert validate(network)["score"] > 0.9
