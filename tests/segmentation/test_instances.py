from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from cryosiam.domain import ArrayVolume
from cryosiam.segmentation import InstanceConfig, InstanceMaps, InstanceTable, separate_instances

Balls = list[tuple[tuple[float, float, float], float]]


def paint(shape: tuple[int, int, int], balls: Balls) -> NDArray[np.int32]:
    truth = np.zeros(shape, np.int32)
    grid = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for label, (centre, radius) in enumerate(balls, start=1):
        inside = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2
        truth[inside & (truth == 0)] = label
    return truth


def predictions(truth: NDArray[np.int32], noise: float = 0.0, seed: int = 0) -> InstanceMaps:
    """What good networks would say about ``truth``."""
    rng = np.random.default_rng(seed)
    rough = [gaussian_filter(rng.standard_normal(truth.shape), 1.2) * 6 * noise for _ in range(3)]
    edge = np.zeros(truth.shape, bool)
    for axis in range(3):
        differs = np.diff(truth, axis=axis) != 0
        edge |= np.pad(differs, [(0, 1) if a == axis else (0, 0) for a in range(3)])
        edge |= np.pad(differs, [(1, 0) if a == axis else (0, 0) for a in range(3)])
    edge &= truth > 0
    distance = np.minimum(distance_transform_edt((truth > 0) & ~edge), 5.0) if edge.any() else truth * 0.0
    foreground = gaussian_filter((truth > 0).astype(float), 0.5) + rough[0]
    boundary = gaussian_filter(edge.astype(float), 0.5) + rough[1]
    return InstanceMaps(
        foreground=np.clip(255 * foreground, 0, 255).astype(np.uint8),
        boundary=np.clip(255 * boundary, 0, 255).astype(np.uint8),
        distance=np.clip(distance + 5 * rough[2], 0, 5).astype(np.float16),
    )


def separate(maps: InstanceMaps, config: InstanceConfig | None = None) -> tuple[NDArray[np.int32], InstanceTable]:
    labels = np.full(maps.shape, -1, np.int32)
    return labels, separate_instances(maps, labels, config)


def crowd(shape: tuple[int, int, int], count: int, seed: int) -> Balls:
    """Balls of mixed sizes, each touching no other by more than a voxel."""
    rng = np.random.default_rng(seed)
    balls: Balls = []
    while len(balls) < count:
        radius = rng.uniform(4, 9)
        centre = rng.uniform(0, shape)
        if all(np.linalg.norm(centre - c) >= radius + r - 1 for c, r in balls):
            balls.append(((float(centre[0]), float(centre[1]), float(centre[2])), float(radius)))
    return balls


def test_touching_balls_are_two_instances_with_their_centres() -> None:
    truth = paint((32, 32, 48), [((16, 16, 14), 7.0), ((16, 16, 28), 7.0)])
    labels, table = separate(predictions(truth))
    assert len(table) == 2
    assert table.centroids_zyx == pytest.approx(np.array([[16, 16, 14], [16, 16, 28]]), abs=0.35)
    assert table.positions_angstrom(10.0)[1] == pytest.approx([280, 160, 160], abs=3.5)
    assert np.array_equal(np.bincount(labels.ravel())[1:], table.voxels)


def test_a_groove_is_no_border_where_both_sides_make_one_ball() -> None:
    """A valley as deep as that between two balls that touch: the shape of what lies on both sides decides."""
    two = paint((40, 40, 56), [((20, 20, 19), 8.0), ((20, 20, 36), 8.0)])
    one = paint((40, 40, 56), [((20, 20, 27.5), 10.0)])
    found = []
    for truth in (two, one):
        maps = predictions(truth)
        groove = np.exp(-0.5 * ((np.arange(56) - 27.5) / 1.0) ** 2) * (truth > 0)
        boundary = np.maximum(maps.boundary, (250 * groove).astype(np.uint8))
        distance = (maps.distance * (1 - 0.9 * groove)).astype(np.float16)
        grooved = InstanceMaps(maps.foreground, boundary, distance)
        configs = [InstanceConfig(merge_shape=weight, smoothing=0.6) for weight in (0.0, 4.0)]
        found.append([len(separate(grooved, config)[1]) for config in configs])
    assert found == [[2, 2], [2, 1]]


def test_rough_predictions_do_not_shatter_a_large_particle() -> None:
    truth = paint((64, 64, 64), [((32, 32, 32), 18.0)])
    _, table = separate(predictions(truth, noise=0.1))
    assert len(table) == 1
    assert table.centroids_zyx[0] == pytest.approx([32, 32, 32], abs=0.5)


def test_result_does_not_depend_on_block_size_in_a_crowd() -> None:
    shape = (64, 104, 120)
    balls = crowd(shape, 90, seed=5)
    maps = predictions(paint(shape, balls), noise=0.05)
    one, table = separate(maps, InstanceConfig(block_size=512))
    many, other = separate(maps, InstanceConfig(block_size=40))
    assert len(table) == len(other)
    assert abs(len(table) - len(balls)) <= 3
    paired = np.stack([one.ravel(), many.ravel()])
    pairs, counts = np.unique(paired, axis=1, return_counts=True)
    best = np.zeros(len(table) + 1)
    np.maximum.at(best, pairs[0], counts)
    assert best.sum() >= 0.995 * one.size
    assert best[1:].sum() >= 0.995 * (one > 0).sum()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.integers(16, 64), st.integers(1, 3))
def test_labels_and_table_agree(seed: int, block_size: int, workers: int) -> None:
    shape = (30, 44, 37)
    maps = predictions(paint(shape, crowd(shape, 8, seed)), noise=0.05, seed=seed)
    labels = np.full(shape, -1, np.int32)
    table = separate_instances(maps, labels, InstanceConfig(block_size=block_size), workers=workers)
    assert np.array_equal(np.bincount(labels.ravel(), minlength=len(table) + 1)[1:], table.voxels)
    for label, lower, upper in zip(table.ids, table.lower_zyx, table.upper_zyx, strict=True):
        where = np.argwhere(labels == label)
        assert np.array_equal(where.min(axis=0), lower)
        assert np.array_equal(where.max(axis=0) + 1, upper)
        weight = maps.foreground[labels == label].astype(float)
        row = label - 1
        assert table.centroids_zyx[row] == pytest.approx(np.average(where, axis=0, weights=weight))
        assert table.mean_foreground[row] == pytest.approx(weight.mean() / 255)
        assert table.max_distance[row] == pytest.approx(maps.distance[labels == label].max())
    assert ((table.scores >= 0) & (table.scores <= 1)).all()


def test_instances_below_the_least_score_leave_neither_label_nor_row() -> None:
    shape = (48, 64, 64)
    maps = predictions(paint(shape, crowd(shape, 20, 3)), noise=0.1)
    labels, table = separate(maps)
    least = float(np.median(table.scores))
    fewer, rest = separate(maps, InstanceConfig(min_score=least))
    kept = table.scores >= least
    assert 0 < kept.sum() < len(table)
    np.testing.assert_array_equal(rest.centroids_zyx, table.centroids_zyx[kept])
    np.testing.assert_array_equal(rest.scores, table.scores[kept])
    expected = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])[labels]
    np.testing.assert_array_equal(fewer, expected)


def test_only_particles_inside_the_sample_are_kept() -> None:
    truth = paint((40, 40, 60), [((20, 20, 12), 6.0), ((20, 20, 30), 6.0), ((20, 20, 48), 6.0)])
    maps = predictions(truth)
    semantic = np.where(truth == 1, 1, 2).astype(np.uint8)
    sample = np.ones(truth.shape, np.float32)
    sample[:, :, 39:] = 0
    masked = InstanceMaps(maps.foreground, maps.boundary, maps.distance, semantic, ArrayVolume(sample))
    labels, table = separate(masked)
    assert table.centroids_zyx == pytest.approx(np.array([[20, 20, 30]]), abs=0.3)
    assert set(np.unique(labels)) == {0, 1}


def test_small_debris_is_dropped() -> None:
    truth = paint((30, 30, 30), [((15, 15, 15), 7.0), ((4, 4, 4), 1.5)])
    _, table = separate(predictions(truth))
    assert len(table) == 1


def test_particle_cut_by_the_edge_is_flagged() -> None:
    truth = paint((30, 30, 30), [((15, 15, 3), 7.0), ((15, 15, 20), 6.0)])
    _, table = separate(predictions(truth))
    assert table.touches_edge.tolist() == [True, False]


def test_empty_volume_gives_an_empty_table_and_zero_labels() -> None:
    labels, table = separate(predictions(np.zeros((20, 24, 28), np.int32)))
    assert len(table) == 0
    assert not labels.any()
    assert len(table.to_picks("run", 10.0)) == 0


def test_all_foreground_is_one_instance() -> None:
    full = np.full((20, 20, 20), 255, np.uint8)
    _, table = separate(InstanceMaps(full, np.zeros_like(full), np.full(full.shape, 5.0, np.float32)))
    assert len(table) == 1


def test_memory_map_is_filled(tmp_path: Path) -> None:
    truth = paint((24, 24, 24), [((12, 12, 12), 6.0)])
    out = np.lib.format.open_memmap(tmp_path / "labels.npy", mode="w+", dtype=np.int32, shape=truth.shape)
    separate_instances(predictions(truth), out)
    out.flush()
    assert set(np.unique(np.load(tmp_path / "labels.npy"))) == {0, 1}


def test_wrong_shapes_and_types_are_refused() -> None:
    maps = predictions(np.zeros((8, 8, 8), np.int32))
    with pytest.raises(ValueError, match="differ in shape"):
        separate_instances(maps, np.zeros((8, 8, 9), np.int32))
    with pytest.raises(ValueError, match="int32"):
        separate_instances(maps, np.zeros((8, 8, 8), np.int64))  # type: ignore[arg-type]


def test_progress_counts_every_block() -> None:
    seen: list[tuple[int, int]] = []
    maps = predictions(np.zeros((20, 20, 40), np.int32))
    separate_instances(
        maps,
        np.zeros((20, 20, 40), np.int32),
        InstanceConfig(block_size=20),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]


def test_lobes_of_one_particle_stay_together_and_touching_particles_apart() -> None:
    # Two lobes on a wide neck are one particle; the same two as separate objects have a boundary between them.
    lobes = paint((36, 36, 56), [((18, 18, 20), 8.0), ((18, 18, 33), 8.0)])
    _, one = separate(predictions((lobes > 0).astype(np.int32), noise=0.05))
    _, two = separate(predictions(lobes, noise=0.05))
    assert (len(one), len(two)) == (1, 2)


def test_memory_does_not_grow_with_the_volume() -> None:
    config = InstanceConfig(block_size=24, margin=8)
    peaks = []
    for depth in (72, 144):
        maps = predictions(paint((depth, 72, 72), crowd((depth, 72, 72), depth // 4, seed=1)))
        labels = np.zeros(maps.shape, np.int32)
        separate_instances(maps, labels, config, workers=1)
        tracemalloc.start()
        separate_instances(maps, labels, config, workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("change", [{"foreground_threshold": 0.0}, {"seed_radius": 0}, {"merge_depth": -1.0}])
def test_settings_without_meaning_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        InstanceConfig(**change)  # type: ignore[arg-type]


def test_empty_space_around_the_sample_changes_nothing() -> None:
    shape = (30, 44, 37)
    truth = paint(shape, crowd(shape, 8, 3))
    truth[:2] = truth[-2:] = truth[:, :2] = truth[:, -2:] = 0
    wide = np.zeros((70, 90, 37), np.int32)
    wide[10:40, 30:74] = truth
    inner, table = separate(predictions(truth))
    outer, other = separate(predictions(wide), InstanceConfig(block_size=33))
    assert len(table) == len(other)
    assert np.array_equal(outer[10:40, 30:74] > 0, inner > 0)
