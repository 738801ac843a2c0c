import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from cryosiam.errors import InputError
from cryosiam.simulation import membrane_shapes
from cryosiam.simulation.bilayer import Bilayer, distances_in_box, draw_bilayer
from cryosiam.simulation.canvas import CLASS_INDEX, Canvas
from cryosiam.simulation.membranes import add_membranes
from cryosiam.simulation.spec import MembraneSpec
from cryosiam.simulation.surfaces import Surface

MEMBRANE = CLASS_INDEX["membrane"]


def slab(shape, margin=0):
    sample = np.zeros(shape, bool)
    sample[margin : shape[0] - margin] = True
    return sample


def ball(centre_angstrom, radius_angstrom):
    return Surface(
        True, np.array(centre_angstrom, float), np.eye(3) / radius_angstrom, radius_angstrom, np.zeros((1, 1, 7))
    )


def drawn(spec, shape=(60, 96, 96), voxel_size=10.0, seed=0, margin=0):
    canvas = Canvas.of_sample(slab(shape, margin), voxel_size)
    return canvas, add_membranes(canvas, spec, np.random.default_rng(seed))


def maxima(places, values):
    """Return where a curve has its maxima, by a parabola through three samples."""
    inner = np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])) + 1
    left, middle, right = values[inner - 1], values[inner], values[inner + 1]
    return places[inner] + (left - right) / (left - 2 * middle + right) / 2 * (places[1] - places[0])


@pytest.mark.parametrize("voxel_size", [6.8, 10.0])
@pytest.mark.parametrize("thickness", [34.0, 38.0, 45.0])
def test_leaflets_are_as_far_apart_as_asked_in_the_drawn_density(voxel_size, thickness):
    size = int(620 / voxel_size)
    centre = np.array([0.31, -0.2, 0.12]) * voxel_size + size // 2 * voxel_size
    canvas = Canvas.of_sample(np.ones((size,) * 3, bool), voxel_size)
    surface = ball(centre, 220.0)
    box = np.zeros(3, np.int64), np.array(canvas.shape)
    bilayer = Bilayer(thickness, 6.5, 0.5 * voxel_size)
    nodes, step = surface.distances_on_nodes(*box, voxel_size, bilayer.reach_angstrom)
    draw_bilayer(canvas, bilayer, *box, nodes, step, 1)
    z, y, x = np.indices(canvas.shape) * voxel_size
    radius = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    edges = np.arange(170, 271, 1.0)
    total = np.histogram(radius, edges, weights=canvas.density)[0]
    profile = ndimage.gaussian_filter1d(total / np.histogram(radius, edges)[0], 1.0)
    peaks = maxima(edges[:-1] + 0.5, profile)
    assert len(peaks) == 2
    assert np.diff(peaks)[0] == pytest.approx(thickness, abs=0.15)
    assert peaks.mean() == pytest.approx(220, abs=0.05)


@pytest.mark.parametrize("voxel_size", [6.8, 10.0])
def test_tails_are_lighter_than_heads_and_the_outside_is_solvent(voxel_size):
    bilayer = Bilayer(38.0, 6.5, 0.5 * voxel_size)
    middle, head, outside = bilayer.profile(np.array([0.0, 19.0, bilayer.reach_angstrom]))
    assert outside < 0.02 < middle < 0.65 * head < head < 1.3


@pytest.mark.parametrize("voxel_size", [4.0, 10.0])
def test_distances_from_a_sphere_are_exact_even_at_its_centre(voxel_size):
    size = int(400 / voxel_size)
    centre = np.full(3, size // 2 * voxel_size)
    nodes, step = ball(centre, 110.0).distances_on_nodes(np.zeros(3, int), np.full(3, size), voxel_size, 120.0)
    distance = distances_in_box(np.full(3, size), nodes, step, 120.0)
    true = np.linalg.norm(np.indices(distance.shape).T * voxel_size - centre, axis=-1).T - 110
    # Between nodes it is interpolated, which the tip of the cone at the centre does not bear.
    smooth = true > -60
    assert np.abs(distance - np.clip(true, -120, 120))[smooth].max() < 0.6
    assert distance[~smooth].max() < -55
    assert distance.min() > -111


@pytest.mark.parametrize(("kind", "diameter"), [("vesicle", 360.0), ("irregular", 800.0)])
@pytest.mark.parametrize("seed", [0, 4])
def test_distances_are_those_to_the_nearest_point_of_the_surface(kind, diameter, seed):
    """Against a cloud of points all over the surface, and the planes that touch it there."""
    voxel_size, reach = 10.0, 45.0
    surface = getattr(membrane_shapes, kind)(np.full(3, 1000.0), diameter, np.random.default_rng(seed))
    low, high = surface.bounds(reach)
    corner = np.floor(low[::-1] / voxel_size).astype(int)
    shape = np.ceil((high - low)[::-1] / voxel_size).astype(int)
    nodes, step = surface.distances_on_nodes(corner, shape, voxel_size, reach)
    assert step > 1
    distance = distances_in_box(shape, nodes, step, reach)
    rng = np.random.default_rng(1)
    shell = np.argwhere(np.abs(distance) < voxel_size)
    jittered = shell[rng.integers(0, len(shell), 150000)] + rng.uniform(-0.5, 0.5, (150000, 3))
    _, cloud, normals = surface.nearest((jittered + corner)[:, ::-1] * voxel_size)
    tree = cKDTree(cloud)
    voxels = np.argwhere(np.abs(distance) < reach - 1)
    chosen = voxels[rng.permutation(len(voxels))[:4000]]
    points = (chosen + corner)[:, ::-1] * voxel_size
    farthest, nearest = tree.query(points)
    signed = ((points - cloud[nearest]) * normals[nearest]).sum(1)
    measured = distance[tuple(chosen.T)]
    # No farther than any point of the surface; as far as its tangent plane beside the nearest one, but for its bend.
    assert (np.abs(measured) - farthest).max() < 0.6
    assert np.abs(measured - signed).max() < 1.0
    beyond = np.argwhere(np.abs(distance) >= reach)
    beyond = beyond[rng.permutation(len(beyond))[:4000]]
    assert tree.query((beyond + corner)[:, ::-1] * voxel_size)[0].min() > reach - 0.6


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["vesicle", "irregular"]), diameter=st.floats(400, 1200))
def test_closed_membranes_part_an_inside_from_the_outside(seed, kind, diameter):
    voxel_size = diameter / 26
    surface = getattr(membrane_shapes, kind)(np.zeros(3), diameter, np.random.default_rng(seed))
    low, high = surface.bounds(3 * voxel_size)
    corner = np.floor(low[::-1] / voxel_size).astype(int)
    shape = np.ceil((high - low)[::-1] / voxel_size).astype(int)
    nodes, step = surface.distances_on_nodes(corner, shape, voxel_size, 2 * voxel_size)
    distance = distances_in_box(shape, nodes, step, 2 * voxel_size)
    assert ndimage.label(distance < 0)[1] == ndimage.label(distance > 0)[1] == 1
    assert ndimage.label(np.abs(distance) > voxel_size)[1] >= 2
    faces = [np.take(distance, end, axis) for axis in range(3) for end in (0, -1)]
    assert all((face > 0).all() for face in faces)
    equal = (6 / np.pi * np.count_nonzero(distance < 0)) ** (1 / 3) * voxel_size
    assert equal == pytest.approx(diameter, rel=0.015)


def signed_distance(membrane):
    """Distance in Å of each voxel of a membrane's box from its middle, negative inside."""
    shape = np.array(membrane.shape_zyx)
    nodes, step = membrane.surface.distances_on_nodes(np.array(membrane.corner_zyx), shape, 10.0, 100.0)
    return distances_in_box(shape, nodes, step, 100.0)


def test_vesicles_have_the_diameter_asked_for():
    spec = MembraneSpec(vesicles=1, vesicle_diameter_nm=(40, 40))
    for seed in range(20):
        canvas, (vesicle,) = drawn(spec, (80, 90, 90), seed=seed)
        distance = signed_distance(vesicle)
        whole = all((np.take(distance, end, axis) > 0).all() for axis in range(3) for end in (0, -1))
        if whole:
            break
    assert whole
    diameter = (6 / np.pi * np.count_nonzero(distance < 0)) ** (1 / 3) * 10
    assert diameter == pytest.approx(400, rel=0.02)
    extents = [np.ptp(np.flatnonzero((distance < 0).any(axis))) * 10 for axis in ((0, 1), (0, 2), (1, 2))]
    assert max(extents) < 1.25 * min(extents)
    inside = ndimage.label(canvas.scaffold != vesicle.scaffold_id)[1]
    assert inside == 2


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), margin=st.integers(0, 8))
def test_membranes_keep_apart_and_inside_the_sample(seed, margin):
    spec = MembraneSpec(vesicles=2, vesicle_diameter_nm=(24, 36), irregular=1, irregular_diameter_nm=(40, 60), sheets=1)
    canvas, membranes = drawn(spec, (48, 72, 72), seed=seed, margin=margin)
    assert canvas.scaffold_kinds == [one.kind for one in membranes]
    assert [one.scaffold_id for one in membranes] == list(range(1, len(membranes) + 1))
    assert 1 <= len(membranes) <= 4
    assert not canvas.density[~canvas.sample].any()
    assert not canvas.semantic[~canvas.sample].any()
    assert ((canvas.scaffold > 0) == (canvas.semantic == MEMBRANE)).all()
    for one in membranes:
        near = np.abs(signed_distance(one)) <= one.bilayer.half_width_angstrom - 0.5
        labels = canvas.scaffold[one.box]
        assert (labels == one.scaffold_id).any()
        # Its whole band is its own: nobody else took a part of it.
        assert (labels[near & canvas.sample[one.box]] == one.scaffold_id).all()


def test_sheets_reach_through_the_slab_and_divide_the_field():
    canvas, (sheet,) = drawn(MembraneSpec(sheets=1), (40, 96, 96), seed=3)
    free = ndimage.label(canvas.semantic == 0)[0]
    assert len([n for n in np.bincount(free.ravel())[1:] if n > 500]) == 2
    assert (canvas.scaffold == sheet.scaffold_id).any((1, 2)).all()


def test_the_same_seed_draws_the_same_bytes():
    spec = MembraneSpec(vesicles=1, vesicle_diameter_nm=(30, 45), irregular=1, irregular_diameter_nm=(40, 60), sheets=1)
    first, again, other = (drawn(spec, (40, 72, 72), seed=seed)[0] for seed in (7, 7, 8))
    assert first.density.tobytes() == again.density.tobytes()
    assert first.scaffold.tobytes() == again.scaffold.tobytes()
    assert first.density.tobytes() != other.density.tobytes()


def test_where_there_is_no_room_fewer_are_returned():
    spec = MembraneSpec(vesicles=6, vesicle_diameter_nm=(30, 34))
    canvas, membranes = drawn(spec, (30, 46, 46))
    assert 1 <= len(membranes) < 6
    assert len(canvas.scaffold_kinds) == len(membranes)
    empty = Canvas.of_sample(np.zeros((20, 20, 20), bool), 10.0)
    assert add_membranes(empty, spec, np.random.default_rng(0)) == []


def test_a_volume_narrower_than_a_membrane_still_sees_it():
    _, membranes = drawn(MembraneSpec(irregular=1, irregular_diameter_nm=(150, 150)), (48, 48, 48))
    assert [one.kind for one in membranes] == ["irregular"]


def test_a_vesicle_too_narrow_for_its_bilayer_is_refused():
    with pytest.raises(InputError, match=r"vesicle.*8 nm is too narrow.*13 nm or more"):
        drawn(MembraneSpec(vesicles=1, vesicle_diameter_nm=(8, 90)))


def test_a_full_slab_ends_the_search():
    begin = time.process_time()
    canvas, membranes = drawn(MembraneSpec(vesicles=10_000, vesicle_diameter_nm=(24, 26)), (36, 36, 36), seed=1)
    assert 0 < len(membranes) < 100
    assert canvas.scaffold.max() == len(membranes)
    assert time.process_time() - begin < 60
