"""Particles to learn from: found, cut out and named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.errors import TrainingError
from cryosiam.networks.config import EncoderConfig, SubtomogramConfig
from cryosiam.training.cubes import StoredCubes
from cryosiam.training.particles import Particles, collect_particles, evened, join_particles, species_of
from cryosiam.training.recipe import SpecimenGroup
from cryosiam.training.specimens import StoredSpecimen, make_specimens
from cryosiam.weights import load_dense

CONFIG = SubtomogramConfig(encoder=EncoderConfig(input_channels=2), box=16)


def particles(sources: Sequence[str], names: Sequence[str], objects: Sequence[int]) -> Particles:
    count = len(names)
    values = np.arange(count, dtype=np.float16)[:, None, None, None, None] * np.ones((1, 1, 4, 4, 4), np.float16)
    return Particles(
        StoredCubes.of(values), tuple(names), tuple(sources), np.array(objects), np.arange(count), {"a": 100.0}
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=2, max_size=60), st.integers(2, 7))
def test_particles_of_a_specimen_stay_together(places: list[int], one_in: int) -> None:
    whole = particles([f"training-{place:05d}" for place in places], ["a"] * len(places), range(len(places)))
    learnt, held_out = whole.split(one_in)
    assert not set(learnt.sources) & set(held_out.sources)
    assert sorted([*learnt.voxels, *held_out.voxels]) == list(range(len(places)))
    if len(set(places)) > 1:
        assert len(learnt)
        assert len(held_out)


def test_what_shows_the_same_object_is_known_as_such() -> None:
    sources = ["one", "one", "two", "one", "one"]
    whole = particles(sources, ["a", "a", "a", "", ""], [7, 7, 7, 0, 0])
    assert [again.tolist() for again in whole.seen_again] == [[0, 1], [0, 1], [2], [3], [4]]


def test_joined_particles_keep_their_order_and_those_without_a_name_can_be_left_out() -> None:
    both = join_particles([particles(["x"], ["a"], [1]), particles(["y", "y"], ["", "b"], [0, 2])])
    assert both.names == ("a", "", "b")
    assert both.named.sources == ("x", "y")
    assert both.species == ("a", "b")
    assert both.cubes(np.array([2, 0])).shape == (2, 1, 4, 4, 4)
    torch.testing.assert_close(both.cubes(np.array([2]))[0, 0], torch.ones(4, 4, 4))


def test_parts_share_the_cubes_of_the_whole() -> None:
    whole = particles(["x", "y", "z"], ["a", "", "b"], [1, 2, 3])
    part = whole.select(np.array([False, True, True])).named
    assert part.names == ("b",)
    assert part.stored.blocks[0] is whole.stored.blocks[0]
    torch.testing.assert_close(part.cubes(np.array([0])), whole.cubes(np.array([2])))


def test_joined_parts_are_as_if_selected_afterwards() -> None:
    parts = [particles(["x"] * 3, ["a", "", "b"], [1, 0, 2]), particles(["y"] * 2, ["b", "a"], [3, 4])]
    mask = np.array([True, False, True, False, True])
    left = join_particles([parts[0].select(mask[:3]), parts[1].select(mask[3:])])
    whole = join_particles(parts).select(mask)
    assert (left.names, left.sources) == (whole.names, whole.sources)
    torch.testing.assert_close(left.cubes(np.arange(3)), whole.cubes(np.arange(3)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=20), min_size=1, max_size=5))
def test_common_species_make_room_for_rare_ones(images: list[list[str]]) -> None:
    parts = [particles(["x"] * len(names), names, range(1, len(names) + 1)) for names in images]
    before = Counter(name for names in images for name in names)
    left = evened(join_particles(parts), 10, np.random.default_rng(0))
    after = Counter(left.names)
    assert after[""] == before[""]
    assert len(left.named) <= 10
    # Nothing is left out that there was room for, and no species loses any while another has more of them.
    most = max((after[name] for name in "abc"), default=0)
    short = [name for name in "abc" if after[name] < before[name]]
    assert all(after[name] == most for name in short)
    assert not short or len(left.named) + sum(before[name] > most for name in "abc") > 10


def test_cubes_are_read_from_files_as_from_memory(tmp_path: Path) -> None:
    whole = particles(["x"] * 5, ["a"] * 5, range(5))
    (values,) = whole.stored.blocks
    np.save(tmp_path / "values.npy", values)
    stored = StoredCubes.joined([whole.stored, StoredCubes.of(tmp_path / "values.npy")])
    index = np.array([7, 1, 9, 7, 0])
    np.testing.assert_array_equal(stored.read(index)[:, 0, 0, 0, 0], index % 5)
    assert stored.read(np.zeros(0, np.int64)).shape == (0, 1, 4, 4, 4)


def test_a_map_and_a_model_of_one_protein_are_one_species() -> None:
    assert species_of("clpb-map") == species_of("clpb") == "clpb"


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> StoredSpecimen:
    from cryosiam.simulation.shapes import builtin_species

    species = {one.name: one for one in builtin_species(10.0)}
    group = SpecimenGroup(preset="demo", seeds=(3, 3), shape_zyx=(80, 96, 96), share=1.0)
    (made,) = make_specimens(tmp_path_factory.mktemp("specimens"), group, 10.0, lambda _: species, lambda _: None)
    return made


def test_specimens_name_their_particles(specimen: StoredSpecimen) -> None:
    picks = specimen.picks
    assert set(np.unique(specimen.array("instances"))) - {0} <= set(picks.instance_ids.tolist())
    assert set(picks.class_names) <= set(specimen.masses_kda)
    index = np.rint(picks.positions_angstrom[:, ::-1] / 10.0).astype(int)
    inside = (index >= 0).all(axis=1) & (index < specimen.shape).all(axis=1)
    labels = np.array([specimen.array("instances")[tuple(place)] for place in index[inside]])
    assert np.mean(labels == picks.instance_ids[inside]) > 0.5


def test_a_specimen_stored_without_names_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not name its particles"):
        _ = StoredSpecimen(tmp_path).picks


@pytest.mark.slow
def test_particles_are_found_named_and_not_looked_for_twice(specimen: StoredSpecimen, tmp_path: Path) -> None:
    dense = load_dense("light")
    told: list[str] = []

    def collect() -> Particles:
        return collect_particles([specimen], np.ones(1), dense, tmp_path, 1, CONFIG, 1, told.append)

    found = collect()
    assert len(found.named) > 3
    assert set(found.species) <= set(specimen.picks.class_names)
    assert set(found.sources) == {specimen.folder.name}
    cubes = found.cubes(np.arange(len(found)))
    assert cubes.shape == (len(found), 2, 16, 16, 16)
    assert "1 images of specimens" in told[0]
    names = dict(zip(specimen.picks.instance_ids.tolist(), specimen.picks.class_names, strict=True))
    assert all(names.get(int(one), "") == name for one, name in zip(found.objects, found.names, strict=True))
    # Protein is dark in the denoised volume, and most of a cube is solvent.
    assert found.named.cubes(np.arange(len(found.named))).mean() < 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    again = collect()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == files
    torch.testing.assert_close(again.cubes(np.arange(len(found))), cubes, rtol=0, atol=0)
    # Where they are not enough, another microscope shows the specimen, and then none.
    collect_particles([specimen], np.ones(1), dense, tmp_path, 100_000, CONFIG, 1, told.append)
    assert told[-1].startswith("3 images")
    assert not list(tmp_path.rglob("*.partial"))
