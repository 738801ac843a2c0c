import time
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from cryosiam.simulation.canvas import CLASS_INDEX, Canvas
from cryosiam.simulation.filaments import actin, add_filaments, dna, microtubule
from cryosiam.simulation.filaments.blobs import draw_bodies
from cryosiam.simulation.filaments.nucleosomes import disc_rotation, superhelix
from cryosiam.simulation.filaments.paths import arc_lengths, frames, set_along, worm_like_chain
from cryosiam.simulation.filaments.tubes import label_tube
from cryosiam.simulation.slab import make_slab
from cryosiam.simulation.spec import FilamentSpec, SlabSpec
from cryosiam.simulation.species import species_from_density

VOXEL = 10.0
SHAPE = (64, 160, 160)


def straight(length=2000.0, step=5.0, start=(0.0, 0.0, 0.0), direction=(0.0, 0.0, 1.0)):
    heights = np.arange(0, length, step)
    return np.array(start) + heights[:, None] * np.array(direction)


def disc(axis=2, voxel=VOXEL):
    """A nucleosome-like disc 104 Å wide and 54 Å high, its short axis along x, y or z."""
    half = int(70 / voxel) + 3
    line = (np.arange(2 * half + 1) - half) * voxel
    position = np.stack(np.meshgrid(line, line, line, indexing="ij")[::-1])
    height = position[axis]
    radius = np.sqrt(np.maximum((position**2).sum(0) - height**2, 0))
    return species_from_density("nucleosome", 1.2 / (1 + np.exp(np.maximum(radius - 52, abs(height) - 27) / 5)), voxel)


def built(spec, seed=0, shape=SHAPE, voxel=VOXEL, prepare=None, **slab):
    made = make_slab(shape, voxel, SlabSpec(**{"thickness_nm": 50.0, **slab}), np.random.default_rng(seed))
    canvas = Canvas.of_sample(made.sample, voxel)
    if prepare is not None:
        prepare(canvas)
    filaments, placed = add_filaments(canvas, spec, disc(voxel=voxel), made, 5, np.random.default_rng(seed + 1))
    return canvas, filaments, placed


def turn_deg(first, second, tangent):
    """Angle from one rotation's x to another's, right-handed about the tangent."""
    a, b = first[:, 0], second[:, 0]
    return np.rad2deg(np.arctan2(np.cross(a, b) @ tangent, a @ b))


# Paths


@pytest.mark.parametrize("persistence", [500.0, 3000.0])
def test_chains_have_their_persistence_length(persistence):
    rng = np.random.default_rng(1)
    step, lag = 3.32, int(persistence / 3.32)
    cosines = []
    for _ in range(20):
        path = worm_like_chain(np.zeros(3), np.array([0, 0, 1.0]), 20 * lag, step, persistence, rng)
        tangents = np.diff(path, axis=0) / step
        cosines.append((tangents[:-lag] * tangents[lag:]).sum(1).mean())
    measured = -lag * step / np.log(np.mean(cosines))
    assert measured == pytest.approx(persistence, rel=0.15)


def test_chains_have_equal_steps_and_bend_as_told():
    rng = np.random.default_rng(0)
    bend = np.array([1e-3, 0, 0])
    path = worm_like_chain(np.ones(3), np.array([0, 0, 2.0]), 200, 5.0, 1e12, rng, bend)
    assert_allclose(np.linalg.norm(np.diff(path, axis=0), axis=1), 5.0)
    assert_allclose(path[0], 1.0)
    # The tangent's angle phi from x obeys d phi / ds = -|bend| sin(phi), to the Gudermannian after 1000 Å.
    assert (path[-1] - path[-2])[0] / 5 == pytest.approx(np.tanh(1.0), abs=0.01)


def test_frames_are_right_handed_and_do_not_twist():
    path = worm_like_chain(np.zeros(3), np.array([1.0, 2, 3]), 400, 5.0, 2000.0, np.random.default_rng(3))
    base = frames(path)
    assert_allclose(np.einsum("nij,nik->njk", base, base), np.broadcast_to(np.eye(3), base.shape), atol=1e-9)
    assert_allclose(np.linalg.det(base), 1.0)
    turns = [turn_deg(a, b, b[:, 2]) for a, b in pairwise(base)]
    assert np.abs(turns).max() < 0.3


def test_objects_beyond_the_ends_of_a_path_are_left_out():
    centres, rotations = set_along(straight(100.0), np.array([[10.0, 0, -1], [10.0, 0, 50], [10.0, 0, 200]]))
    assert centres.shape == (1, 3)
    assert centres[0, 2] == pytest.approx(50)
    assert_allclose(centres[0] - [0, 0, 50], 10 * rotations[0, :, 0])


# Lattices


def test_actin_is_a_left_handed_one_start_and_right_handed_two_start_helix():
    centres, rotations = actin.actin_subunits(straight(direction=(0.6, 0.0, 0.8)))
    tangent = np.array([0.6, 0, 0.8])
    assert_allclose(np.diff(centres @ tangent), 27.3)
    turns = [turn_deg(a, b, tangent) for a, b in pairwise(rotations)]
    assert_allclose(turns, -166.6, atol=1e-6)
    two = [turn_deg(a, b, tangent) for a, b in zip(rotations[:-2], rotations[2:], strict=True)]
    assert_allclose(two, 26.8, atol=1e-6)


def test_dna_is_right_handed_with_a_minor_and_a_major_groove():
    _, rotations = dna.dna_subunits(straight(400.0))
    turns = [turn_deg(a, b, np.array([0, 0, 1.0])) for a, b in pairwise(rotations)]
    assert_allclose(turns, 360 / 10.5, atol=1e-6)
    one, other = dna.BASE_PAIR.offsets_angstrom[:2]
    # Follow the second strand up to the first one's height.
    climb = (one[2] - other[2]) / 3.32 * 360 / 10.5
    angle = np.rad2deg(np.arctan2(one[1], one[0]) - np.arctan2(other[1], other[0])) - climb
    assert angle == pytest.approx(147, abs=3)


@pytest.mark.parametrize("protofilaments", [12, 13, 14, 15])
def test_microtubule_lattice_closes_and_is_left_handed(protofilaments):
    centres, rotations = microtubule.microtubule_subunits(straight(), protofilaments)
    radius = np.hypot(centres[:, 0], centres[:, 1])
    assert_allclose(radius, protofilaments * 112.0 / 13)
    middle = abs(centres[:, 2] - 1000) < 100
    ours = np.flatnonzero(abs(centres[:, 2] - 1000) < 40)[0]
    away = np.sort(np.linalg.norm(centres[middle] - centres[ours], axis=1))
    # Two neighbours along the protofilament at 40.9 Å; the lattice has no seam in monomers: all see the same.
    assert (abs(away - 40.9) < 0.05).sum() == 2
    for other in np.flatnonzero(abs(centres[:, 2] - 1000) < 40):
        distances = np.sort(np.linalg.norm(centres[middle] - centres[other], axis=1))
        assert_allclose(distances[:5], away[:5], atol=0.2)
    # Neighbour on the counter-clockwise side, seen from the plus end, is lower by about 9 Å.
    offset = centres - centres[ours]
    aside = offset @ rotations[ours][:, 1]
    flank = (aside > 40) & (aside < 60) & (np.linalg.norm(offset, axis=1) < 60) & (abs(offset[:, 2]) < 20)
    assert flank.sum() == 1
    assert -11.5 < offset[flank][0, 2] < -7.5


def test_protofilaments_wind_left_handed_for_14_and_right_handed_for_12_and_15():
    signs = {n: np.sign(round(microtubule.supertwist_rad_per_angstrom(n), 9)) for n in (12, 13, 14, 15)}
    assert signs == {12: 1, 13: 0, 14: -1, 15: 1}
    degrees = np.rad2deg(np.arctan(microtubule.supertwist_rad_per_angstrom(14) * microtubule.wall_radius_angstrom(14)))
    assert degrees == pytest.approx(-0.7, abs=0.1)


@pytest.mark.parametrize("protofilaments", [12, 13, 14, 15])
def test_a_cross_section_shows_the_protofilaments(protofilaments):
    voxel, half = 5.0, 36
    volume = np.zeros((8, 2 * half + 1, 2 * half + 1), np.float32)
    path = straight(4000.0, start=(half * voxel, half * voxel, -2000.0))
    draw_bodies(volume, voxel, microtubule.MONOMER, *microtubule.microtubule_subunits(path, protofilaments))
    angle = np.linspace(0, 2 * np.pi, 512, endpoint=False)
    radii = np.arange(60, 160, 2.5) / voxel
    y, x = half + radii[:, None] * np.sin(angle), half + radii[:, None] * np.cos(angle)
    polar = ndimage.map_coordinates(volume.sum(0), [y, x], order=1)
    power = np.abs(np.fft.rfft(polar.sum(0))) ** 2
    assert 5 + power[5:25].argmax() == protofilaments
    wall = (polar.sum(1) * radii**2).sum() / (polar.sum(1) * radii).sum() * voxel
    assert wall == pytest.approx(microtubule.wall_radius_angstrom(protofilaments), abs=4)


def layer_lines(volume, voxel):
    """Power along the axis (z), and the spatial frequencies in 1/Å."""
    power = (np.abs(np.fft.fftn(volume)) ** 2).sum((1, 2))
    return np.fft.fftfreq(len(volume), voxel), power


def test_actin_has_its_layer_lines():
    voxel = 5.0
    volume = np.zeros((512, 25, 25), np.float32)
    path = straight(512 * voxel + 400, start=(60.0, 60.0, -200.0))
    draw_bodies(volume, voxel, actin.MONOMER, *actin.actin_subunits(path))
    frequency, power = layer_lines(volume, voxel)
    # The 1-start helix has a pitch of 59 Å; the two strands cross every 367 Å.
    for period in (27.3 * 360 / 166.6, 27.3 * 360 / 26.8):
        near = np.flatnonzero(abs(frequency - 1 / period) < 0.001)
        assert frequency[near[power[near].argmax()]] == pytest.approx(1 / period, abs=0.0005)


# Mass


@pytest.mark.parametrize(
    ("one", "expected_a3"), [(actin.MONOMER, 42e3 * 1.23), (microtubule.MONOMER, 50e3 * 1.23), (dna.BASE_PAIR, 831)]
)
@pytest.mark.parametrize("voxel", [3.0, 6.8, 13.0])
def test_bodies_have_their_mass_at_any_voxel_size(one, expected_a3, voxel):
    volume = np.zeros((60, 60, 60), np.float32)
    centres = np.array([[30.3, 29.6, 31.0]]) * voxel
    draw_bodies(volume, voxel, one, centres, np.eye(3)[None])
    assert volume.sum() * voxel**3 == pytest.approx(expected_a3, rel=1e-3)


def test_half_a_body_at_a_face_is_cut():
    volume = np.zeros((40, 40, 40), np.float32)
    for x in (-500.0, 0.0, 39 * 5.0, 900.0):
        draw_bodies(volume, 5.0, dna.BASE_PAIR, np.array([[x, 100.0, 100.0]]), np.eye(3)[None])
    assert 0.8 * 831 < volume.sum() * 125 < 1.6 * 831


def test_density_of_protein_filaments_is_that_of_protein():
    canvas, _, _ = built(FilamentSpec(microtubules=1, actin=1), voxel=6.8, shape=(80, 120, 120), thickness_nm=50.0)
    inside = canvas.density[canvas.density > 0.25]
    assert 0.4 < np.median(inside) < 1.0
    assert np.percentile(inside, 99) < 1.5


# Placement


def test_filaments_are_labelled_and_lie_in_the_slab():
    spec = FilamentSpec(microtubules=2, actin=4, dna=6, nucleosomes=6, protofilaments=(12, 15))
    canvas, filaments, placed = built(spec)
    kinds = [one.kind for one in filaments]
    assert [kinds.count(kind) for kind in ("microtubule", "actin", "dna")] == [2, 4, 6]
    assert canvas.scaffold_kinds == kinds
    assert [one.scaffold_id for one in filaments] == list(range(1, 13))
    classes = {"microtubule": "microtubule", "actin": "actin", "dna": "filament"}
    for one in filaments:
        voxels = canvas.scaffold == one.scaffold_id
        assert voxels.any()
        assert set(np.unique(canvas.semantic[voxels])) == {CLASS_INDEX[classes[one.kind]]}
    assert not canvas.semantic[~canvas.sample].any()
    assert (canvas.semantic[canvas.scaffold > 0] > 0).all()
    assert ((canvas.instances > 0) == (canvas.semantic == CLASS_INDEX["particle"])).all()
    assert placed.names == ("nucleosome",) * 6
    assert list(np.unique(canvas.instances)) == [0, *range(5, 11)]


def test_no_filament_reaches_out_of_the_slab():
    canvas, filaments, _ = built(
        FilamentSpec(microtubules=2, actin=6, dna=10), thickness_nm=35.0, tilt_deg=6, roughness_angstrom=30
    )
    assert len(filaments) >= 10
    assert canvas.density[~canvas.sample].sum() < 2e-3 * canvas.density.sum()


def test_labels_hold_the_density():
    canvas, _, _ = built(FilamentSpec(microtubules=2, actin=5, dna=5))
    assert canvas.density[canvas.semantic > 0].sum() > 0.85 * canvas.density.sum()
    assert (canvas.density >= 0).all()


def test_the_lumen_belongs_to_the_microtubule():
    canvas, filaments, _ = built(FilamentSpec(microtubules=1))
    on_axis = np.rint(filaments[0].path[:, ::-1] / VOXEL).astype(int)
    inside = ((on_axis >= 0) & (on_axis < SHAPE)).all(1)
    assert (canvas.semantic[tuple(on_axis[inside].T)] == CLASS_INDEX["microtubule"]).all()
    assert canvas.density[tuple(on_axis[inside].T)].max() < 0.05


def test_filaments_keep_clear_of_each_other_and_of_what_is_there():
    def wall(canvas):
        canvas.semantic[:, 60:66] = CLASS_INDEX["membrane"]

    canvas, filaments, _ = built(FilamentSpec(microtubules=1, actin=6, dna=6), prepare=wall)
    assert (canvas.semantic[:, 60:66] == CLASS_INDEX["membrane"]).all()
    assert not canvas.scaffold[:, 60:66].any()
    for one in filaments:
        ours = canvas.scaffold == one.scaffold_id
        grown = ndimage.binary_dilation(ours)
        others = (canvas.semantic > 0) & ~ours
        assert not (grown & others).any()


def test_microtubules_cross_the_field_and_bend_gently():
    _, filaments, _ = built(FilamentSpec(microtubules=2), seed=4)
    for one in filaments:
        assert arc_lengths(one.path)[-1] > 800
        tangents = np.diff(one.path, axis=0) / 5.0
        lag = 80
        bend = np.linalg.norm(tangents[lag:] - tangents[:-lag], axis=1) / (lag * 5)
        assert bend.max() < 1 / 2e4


def test_dna_has_the_lengths_asked_for():
    _, filaments, _ = built(FilamentSpec(dna=12, dna_length_nm=(60, 90)), shape=(64, 256, 256))
    lengths = np.array([arc_lengths(one.path)[-1] for one in filaments]) / 10
    inside = np.array([(one.path[-1, :2] > 50).all() and (one.path[-1, :2] < 2500).all() for one in filaments])
    assert inside.sum() >= 6
    assert (lengths[inside] > 59).all()
    assert (lengths < 91).all()


def test_placed_dna_keeps_its_persistence():
    _, filaments, _ = built(
        FilamentSpec(dna=30, dna_length_nm=(150, 200)), shape=(120, 300, 300), thickness_nm=110, tilt_deg=0
    )
    lag = 60
    cosines = []
    for one in filaments:
        tangents = np.diff(one.path, axis=0) / 3.32
        cosines.append((tangents[:-lag] * tangents[lag:]).sum(1))
    measured = -lag * 3.32 / np.log(np.concatenate(cosines).mean())
    assert measured == pytest.approx(500, rel=0.2)


def test_same_seed_same_bytes():
    spec = FilamentSpec(microtubules=1, actin=2, dna=4, nucleosomes=5, protofilaments=(12, 15))
    first, again, other = (built(spec, seed)[0] for seed in (2, 2, 3))
    for name in ("density", "semantic", "instances", "scaffold"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.density.tobytes() != other.density.tobytes()


def test_no_room_leaves_filaments_out():
    canvas, filaments, placed = built(
        FilamentSpec(microtubules=2, dna=2, nucleosomes=2), prepare=lambda c: c.semantic.fill(1)
    )
    assert not filaments
    assert len(placed) == 0
    assert not canvas.density.any()


# Nucleosomes


def test_nucleosomal_dna_is_a_left_handed_superhelix():
    path = superhelix()
    assert_allclose(np.hypot(path[:, 0], path[:, 1]), 41.9)
    angle = np.unwrap(np.arctan2(path[:, 1], path[:, 0]))
    assert (np.diff(angle) * np.diff(path[:, 2]) < 0).all()
    assert arc_lengths(path)[-1] / 3.32 == pytest.approx(132, abs=8)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_short_axis_of_a_disc_is_found(axis):
    rotation = disc_rotation(disc(axis))
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert abs(rotation[2, axis]) == pytest.approx(1, abs=1e-3)


def test_nucleosomes_are_as_many_as_asked_and_do_not_overlap():
    species = disc()
    canvas, filaments, placed = built(
        FilamentSpec(dna=5, nucleosomes=40), shape=(80, 200, 200), thickness_nm=70, voxel=VOXEL
    )
    assert len(placed) == 40
    sizes = np.bincount(canvas.instances.ravel())[5:]
    assert_allclose(sizes, species.volume_voxels, rtol=0.1)
    assert_allclose(placed.visible, 1)
    for number, index in enumerate(placed.indices_zyx):
        assert canvas.instances[tuple(np.rint(index).astype(int))] == 5 + number
    everywhere = np.concatenate([one.path for one in filaments])
    for index, rotation in zip(placed.indices_zyx, placed.rotations, strict=True):
        local = (everywhere - index[::-1] * VOXEL) @ rotation
        near = local[np.linalg.norm(local, axis=1) < 47]
        # DNA winds about the core: never through its middle, and well around it.
        assert np.hypot(near[:, 0], near[:, 1]).min() > 35
        around = np.rad2deg(np.arctan2(near[:, 1], near[:, 0])) // 30
        assert len(np.unique(around)) == 12


@pytest.mark.parametrize("wanted", [{"actin": 10_000}, {"microtubules": 10_000}, {"dna": 10_000}])
def test_a_full_slab_ends_the_search(wanted):
    begin = time.process_time()
    canvas, filaments, _ = built(FilamentSpec(**wanted), shape=(40, 40, 40), thickness_nm=34.0)
    assert 0 < len(filaments) < 10_000
    assert canvas.scaffold.max() == len(filaments)
    assert time.process_time() - begin < 60


def test_nucleosomes_need_their_species():
    made = make_slab(SHAPE, VOXEL, SlabSpec(thickness_nm=50), np.random.default_rng(0))
    canvas = Canvas.of_sample(made.sample, VOXEL)
    with pytest.raises(ValueError, match="species"):
        add_filaments(canvas, FilamentSpec(dna=1, nucleosomes=1), None, made, 1, np.random.default_rng(0))


def test_a_tube_has_flat_ends_and_its_radius():
    canvas = Canvas.of_sample(np.ones((40, 40, 40), bool), VOXEL)
    path = straight(200.0, start=(200.0, 200.0, 100.0))
    label_tube(canvas, path, 80.0, "microtubule", 1)
    labelled = np.argwhere(canvas.semantic > 0)
    assert labelled[:, 0].min() >= 9
    assert labelled[:, 0].max() <= 30
    assert np.hypot(*(labelled[:, 1:] - 20).T).max() <= 8
    assert len(labelled) == pytest.approx(np.pi * 64 * 20, rel=0.1)
