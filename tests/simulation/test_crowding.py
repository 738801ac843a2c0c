import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from scipy.spatial.transform import Rotation

from cryosiam.simulation import crowding
from cryosiam.simulation.canvas import CLASS_INDEX, Canvas
from cryosiam.simulation.crowding import accessible_voxels, fill
from cryosiam.simulation.spec import SpeciesSpec
from cryosiam.simulation.species import Species
from cryosiam.simulation.stamping import posed

SHAPE = (48, 72, 80)


def soft_ellipsoid(name, *semi_axes):
    """Uneven on purpose, so that no rotation but the right one gives the same density."""
    half = int(max(semi_axes)) + 4
    axis = np.arange(-half, half + 1)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    radius = np.sqrt((x / semi_axes[0]) ** 2 + (y / semi_axes[1]) ** 2 + (z / semi_axes[2]) ** 2)
    density = (1 / (1 + np.exp((radius - 1) * 2 * min(semi_axes)))).astype(np.float32)
    density *= 1 + 0.3 * np.tanh(x / 3 + y / 5)
    density[density < 1e-3] = 0
    mask = density > 0.25
    reach = float(np.sqrt(((np.argwhere(mask) - half) ** 2).sum(1).max()))
    return Species(name, density, mask, 10 * reach)


LARGE = soft_ellipsoid("large", 9, 8, 7)
LONG = soft_ellipsoid("long", 3, 3, 8)
MEDIUM = soft_ellipsoid("medium", 5, 4, 4)
SMALL = soft_ellipsoid("small", 3, 2, 3)
TINY = soft_ellipsoid("tiny", 1.8, 1.8, 1.8)
MIXED = [LARGE, LONG, MEDIUM, SMALL, TINY]


def wanted(*kinds, count=None):
    return [(SpeciesSpec(name=kind.name, source=f"builtin:{kind.name}", count=count), kind) for kind in kinds]


def slab(shape=SHAPE, margin=6):
    """A canvas with a slanted slab and a wall of membrane in it."""
    z, _, x = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    tilted = 0.05 * (x - shape[2] / 2)
    sample = np.broadcast_to((z >= margin + tilted) & (z < shape[0] - margin + tilted), shape).copy()
    canvas = Canvas.of_sample(sample, 10.0)
    canvas.semantic[:, 30:33, :40] = CLASS_INDEX["membrane"]
    canvas.semantic[~sample] = 0
    return canvas


def filled_slab(kinds, occupancy, seed, first_id=1, **options):
    canvas = slab(**options)
    return canvas, fill(canvas, wanted(*kinds), occupancy, first_id, np.random.default_rng(seed))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(MIXED), min_size=1, max_size=5, unique_by=lambda kind: kind.name),
    occupancy=st.floats(0.05, 0.6),
)
def test_particles_are_drawn_whole_in_the_slab_and_none_overlaps(seed, kinds, occupancy):
    canvas, placed = filled_slab(kinds, occupancy, seed, first_id=4)
    membrane = slab().semantic > 0
    by_name = {kind.name: kind for kind in kinds}
    again = np.zeros_like(canvas.instances)
    for index, (name, visible) in enumerate(zip(placed.names, placed.visible, strict=True)):
        _, mask, corner = posed(by_name[name], placed.indices_zyx[index], placed.rotations[index])
        voxels = np.argwhere(mask) + corner
        inside = ((voxels >= 0) & (voxels < SHAPE)).all(1)
        assert inside.mean() == pytest.approx(visible)
        assert (voxels[:, 0] >= 0).all()
        assert (voxels[:, 0] < SHAPE[0]).all()
        voxels = tuple(voxels[inside].T)
        assert not again[voxels].any()
        assert canvas.sample[voxels].all()
        assert not membrane[voxels].any()
        again[voxels] = index + 4
    assert np.array_equal(again, canvas.instances)
    assert np.array_equal(canvas.semantic == CLASS_INDEX["particle"], canvas.instances > 0)
    assert np.array_equal(canvas.semantic == CLASS_INDEX["membrane"], membrane)
    nearest = np.round(placed.indices_zyx).astype(int)
    assert canvas.sample[tuple(nearest.T)].all()


@pytest.mark.parametrize("asked", [0.0, 0.2, 0.5, 0.65])
def test_the_occupancy_asked_is_reached(asked):
    canvas, placed = filled_slab(MIXED, asked, 5)
    free = slab()
    free_voxels = np.count_nonzero(free.sample & (free.semantic == 0))
    assert placed.occupancy_reached == pytest.approx(np.count_nonzero(canvas.instances) / free_voxels)
    assert placed.occupancy_reached == pytest.approx(asked, abs=0.05 if asked > 0.6 else 0.005)
    assert placed.occupancy_asked == asked


def test_an_occupancy_out_of_reach_ends_with_a_sentence_and_the_accessible_volume_full():
    canvas, placed = filled_slab([MEDIUM], 0.8, 6)
    filled = np.count_nonzero(canvas.instances)
    assert 0.4 < placed.occupancy_reached < 0.75
    assert f"{placed.occupancy_reached:.2f} of the free space instead of 0.80" in placed.shortfall()
    left = accessible_voxels(canvas, [MEDIUM], np.random.default_rng(0))
    assert filled / (filled + left) > 0.9


def test_what_can_be_reached_has_nothing_to_report():
    assert filled_slab(MIXED, 0.3, 7)[1].shortfall() is None


def test_accessible_is_the_opening_of_the_free_space():
    canvas = Canvas.of_sample(np.zeros(SHAPE, bool), 10.0)
    canvas.sample[10:40] = True
    canvas.semantic[10:40, :, 50:53] = CLASS_INDEX["membrane"]
    canvas.semantic[10:40, :, 56:59] = CLASS_INDEX["membrane"]
    free = canvas.sample & (canvas.semantic == 0)
    gap = 30 * SHAPE[1] * 3
    count = accessible_voxels(canvas, [LARGE, MEDIUM], np.random.default_rng(1))
    assert count == pytest.approx(np.count_nonzero(free) - gap, rel=0.01)
    assert count <= np.count_nonzero(free) - gap
    assert accessible_voxels(slab((24, 48, 48), margin=10), [LARGE], np.random.default_rng(1)) == 0


def test_counted_species_come_first_and_as_many_as_were_asked_for():
    canvas = slab()
    species = wanted(SMALL, TINY) + wanted(MEDIUM, count=7) + wanted(LARGE, count=3)
    placed = fill(canvas, species, 0.3, 1, np.random.default_rng(8))
    assert placed.names[:10] == ("large",) * 3 + ("medium",) * 7
    assert set(placed.names[10:]) == {"small", "tiny"}
    assert placed.occupancy_reached == pytest.approx(0.3, abs=0.005)
    alone = fill(slab(), wanted(MEDIUM, count=5), 0.0, 1, np.random.default_rng(8))
    assert alone.names == ("medium",) * 5


def test_more_than_fit_are_not_placed():
    placed = fill(slab(), wanted(LARGE, count=10_000), 0.0, 1, np.random.default_rng(9))
    assert 10 < len(placed) < 200


@pytest.mark.parametrize("kinds", [[], [LARGE]])
def test_nothing_to_place_or_no_room_for_it_gives_an_empty_placement(kinds):
    canvas = slab((24, 48, 48), margin=10)
    placed = fill(canvas, wanted(*kinds), 0.5, 1, np.random.default_rng(0))
    assert len(placed) == 0
    assert placed.rotations.shape == (0, 3, 3)
    assert placed.occupancy_reached == 0
    assert not canvas.instances.any()


def test_large_ones_do_not_lack_and_small_ones_are_more_numerous():
    canvas = slab((56, 120, 120))
    placed = fill(canvas, wanted(*MIXED), 0.6, 1, np.random.default_rng(10))
    sizes = np.array([{kind.name: kind.volume_voxels for kind in MIXED}[name] for name in placed.names])
    assert (np.diff(sizes) <= 0).all()
    assert placed.names.count("large") >= 3


def test_rotations_are_uniform_and_all_different():
    placed = fill(slab((56, 160, 160)), wanted(SMALL), 0.2, 1, np.random.default_rng(11))
    rotations = placed.rotations
    assert len(placed) > 1000
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3))
    assert len(np.unique(rotations.reshape(-1, 9), axis=0)) == len(placed)
    for row in range(3):
        for column in range(3):
            assert stats.kstest(rotations[:, row, column], "uniform", (-1, 2)).pvalue > 1e-4
    angles = Rotation.from_matrix(rotations).magnitude()
    assert stats.kstest(angles, lambda t: (t - np.sin(t)) / np.pi).pvalue > 1e-4


def test_positions_are_uniform_in_the_slab_and_within_the_voxel():
    shape = (56, 160, 160)
    canvas = Canvas.of_sample(np.ones(shape, bool), 10.0)
    placed = fill(canvas, wanted(TINY), 0.1, 1, np.random.default_rng(12))
    fractions = placed.indices_zyx + 0.5 - np.floor(placed.indices_zyx + 0.5)
    for axis in range(3):
        assert stats.kstest(fractions[:, axis], "uniform").pvalue > 1e-4
        margin = 2.0 if axis == 0 else 0.0
        inner = placed.indices_zyx[:, axis]
        inner = inner[(inner > margin) & (inner < shape[axis] - 1 - margin)]
        assert stats.kstest(inner, "uniform", (margin, shape[axis] - 1 - 2 * margin)).pvalue > 1e-4


def test_density_of_a_particle_is_that_of_its_species_and_lies_at_its_pick():
    canvas = Canvas.of_sample(np.ones((64, 160, 160), bool), 10.0)
    placed = fill(canvas, wanted(MEDIUM), 0.006, 1, np.random.default_rng(13))
    half = MEDIUM.density.shape[0] // 2
    total = float(MEDIUM.density.sum(dtype=np.float64))
    object_centre = np.array(ndimage.center_of_mass(MEDIUM.density))[::-1] - half
    whole = placed.visible == 1
    assert canvas.density[canvas.instances > 0].min() > 0
    checked = 0
    for index in np.flatnonzero(whole):
        nearest = np.round(placed.indices_zyx[index]).astype(int)
        low, high = nearest - half - 3, nearest + half + 4
        if (low < 0).any() or (high > canvas.shape).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        around = tuple(slice(max(a - 4, 0), b + 4) for a, b in zip(low, high, strict=True))
        if set(np.unique(canvas.instances[around])) != {0, index + 1}:
            continue
        drawn = canvas.density[box].astype(np.float64)
        assert drawn.sum() == pytest.approx(total, rel=0.01)
        centre = np.array(ndimage.center_of_mass(drawn)) + low
        expected = placed.indices_zyx[index] + (placed.rotations[index] @ object_centre)[::-1]
        assert np.abs(centre - expected).max() < 0.1
        checked += 1
    assert checked >= 3


def test_same_seed_same_bytes_whatever_the_number_of_threads(monkeypatch):
    made = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(crowding, "available_threads", lambda n=threads: n)
        made.append(filled_slab(MIXED, 0.55, 14))
    for canvas, placed in made[1:]:
        assert canvas.density.tobytes() == made[0][0].density.tobytes()
        assert canvas.instances.tobytes() == made[0][0].instances.tobytes()
        assert placed.indices_zyx.tobytes() == made[0][1].indices_zyx.tobytes()
        assert placed.rotations.tobytes() == made[0][1].rotations.tobytes()
        assert placed.names == made[0][1].names
    other = filled_slab(MIXED, 0.55, 15)[1]
    assert other.indices_zyx.tobytes() != made[0][1].indices_zyx.tobytes()


def test_progress_is_told_of_each_species():
    told = []
    fill(slab(), wanted(MEDIUM, SMALL), 0.1, 1, np.random.default_rng(0), told.append)
    assert [line.split(",")[0] for line in told] == ["particles: medium", "particles: small"]
