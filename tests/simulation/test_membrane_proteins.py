import numpy as np
import pytest
from scipy import ndimage, stats

from cryosiam.errors import InputError
from cryosiam.simulation.bilayer import Bilayer, draw_bilayer
from cryosiam.simulation.canvas import CLASS_INDEX, Canvas
from cryosiam.simulation.membrane_proteins import add_membrane_proteins
from cryosiam.simulation.membranes import Membrane
from cryosiam.simulation.spec import SpeciesSpec
from cryosiam.simulation.species import species_from_density
from cryosiam.simulation.stamping import posed
from cryosiam.simulation.surfaces import Surface

VOXEL = 10.0
CENTRE = np.array([403.0, 398.0, 395.0])
RADIUS = 250.0


def mushroom(name="mushroom"):
    """A stalk in the membrane with a wider head above it, +z up."""
    z, y, x = np.indices((21, 21, 21)) - 10
    across = np.hypot(x, y)
    shape = ((across < 2.2) & (z > -6) & (z < 3)) | ((across < 3.6) & (z >= 3) & (z < 7))
    return species_from_density(name, ndimage.gaussian_filter(shape.astype(np.float32), 0.5), VOXEL)


def vesicle(width=80):
    """A round vesicle in a slab that holds all of it, or its first half."""
    canvas = Canvas.of_sample(np.ones((80, 80, width), bool), VOXEL)
    surface = Surface(True, CENTRE, np.eye(3) / RADIUS, RADIUS, np.zeros((1, 1, 7)))
    bilayer = Bilayer(38.0, 6.5, 5.0)
    corner, shape = np.zeros(3, np.int64), np.array(canvas.shape)
    nodes, step = surface.distances_on_nodes(corner, shape, VOXEL, bilayer.reach_angstrom)
    identity = canvas.new_scaffold_id("vesicle")
    draw_bilayer(canvas, bilayer, corner, shape, nodes, step, identity)
    return canvas, Membrane("vesicle", identity, surface, bilayer, (0, 0, 0), canvas.shape)


def recipe(name="mushroom", **changes):
    return SpeciesSpec(name=name, source="builtin:x", membrane=True, **changes)


def placed(share=0.2, seed=0, first_id=1, **changes):
    canvas, membrane = vesicle()
    pairs = [(recipe(**changes), mushroom())]
    return canvas, add_membrane_proteins(canvas, [membrane], pairs, share, first_id, np.random.default_rng(seed))


@pytest.mark.parametrize("height", [0.0, -30.0])
def test_proteins_stand_on_the_membrane_along_its_normal(height):
    _, placement = placed(membrane_centre_angstrom=height)
    assert len(placement) > 20
    positions = placement.indices_zyx[:, ::-1] * VOXEL
    outwards = (positions - CENTRE) / np.linalg.norm(positions - CENTRE, axis=1, keepdims=True)
    axes = placement.rotations[:, :, 2]
    assert np.degrees(np.arccos(np.clip((axes * outwards).sum(1), -1, 1))).max() < 0.1
    anchors = positions + height * axes
    assert np.abs(np.linalg.norm(anchors - CENTRE, axis=1) - RADIUS).max() < 0.1
    assert np.allclose(placement.rotations @ placement.rotations.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(placement.rotations), 1)


def test_the_heads_of_proteins_point_out_of_the_vesicle_in_the_volume():
    canvas, placement = placed()
    z, y, x = np.nonzero(canvas.instances)
    height = np.linalg.norm(np.stack([x, y, z], 1) * VOXEL - CENTRE, axis=1) - RADIUS
    # Above there is the wide head, and as far below the narrow stalk.
    assert ((height > 30) & (height < 40)).sum() > 1.7 * ((height > -40) & (height < -30)).sum()
    assert set(np.unique(canvas.instances)) == set(range(len(placement) + 1))


def test_places_are_uniform_over_the_sphere():
    directions = []
    for seed in range(6):
        _, placement = placed(0.05, seed)
        positions = placement.indices_zyx[:, ::-1] * VOXEL - CENTRE
        directions.append(positions / np.linalg.norm(positions, axis=1, keepdims=True))
    for along in np.concatenate(directions).T:
        # Archimedes: each coordinate of a uniform point on the sphere is itself uniform.
        assert stats.kstest(along, "uniform", args=(-1, 2)).pvalue > 0.005


def test_nothing_overlaps_and_lipids_give_way():
    canvas, placement = placed(0.3, first_id=11)
    assert len(placement) > 10
    counts = np.bincount(canvas.instances.ravel())[11:]
    poses = zip(placement.indices_zyx, placement.rotations, strict=True)
    # Each has every voxel of its mask, so that none lost one to another.
    assert counts.tolist() == [np.count_nonzero(posed(mushroom(), *pose)[1]) for pose in poses]
    taken = canvas.instances > 0
    assert not canvas.scaffold[taken].any()
    assert (canvas.semantic[taken] == CLASS_INDEX["particle"]).all()
    assert canvas.density[taken].max() < 1.7


def test_the_share_asked_for_is_covered_and_counts_are_kept():
    _, placement = placed(0.1, membrane_centre_angstrom=-40.0)
    mask = mushroom().mask
    stalk = mask[len(mask) // 2 - 5 : len(mask) // 2 - 2].any(0)
    footprint = np.count_nonzero(stalk) * VOXEL**2
    assert len(placement) * footprint / (4 * np.pi * RADIUS**2) == pytest.approx(0.1, rel=0.1)
    _, counted = placed(0.0, count=5)
    assert counted.names == ("mushroom",) * 5
    assert len(placed(0.0)[1]) == 0


def test_other_things_are_left_alone():
    canvas, membrane = vesicle()
    canvas.semantic[:, :, 40:][canvas.semantic[:, :, 40:] == 0] = CLASS_INDEX["actin"]
    before = canvas.semantic == CLASS_INDEX["actin"]
    pairs = [(recipe(membrane_centre_angstrom=-20.0), mushroom())]
    placement = add_membrane_proteins(canvas, [membrane], pairs, 0.2, 1, np.random.default_rng(0))
    assert len(placement) > 0
    assert (canvas.semantic[before] == CLASS_INDEX["actin"]).all()


def test_centres_lie_in_the_volume_where_a_face_cuts_the_vesicle():
    for height in (-50.0, 40.0):
        canvas, membrane = vesicle(60)
        pairs = [(recipe(membrane_centre_angstrom=height), mushroom())]
        placement = add_membrane_proteins(canvas, [membrane], pairs, 0.4, 1, np.random.default_rng(0))
        assert (placement.visible < 1).any()
        index = np.round(placement.indices_zyx)
        assert ((index >= 0) & (index < canvas.shape)).all()


def test_the_same_seed_places_the_same():
    first, again, other = (placed(seed=seed)[0].density.tobytes() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_bilayer_beside_the_protein_is_refused_and_no_membrane_takes_none():
    with pytest.raises(InputError, match=r"mushroom has no density.*now 300"):
        placed(membrane_centre_angstrom=300.0)
    canvas, _ = vesicle()
    assert len(add_membrane_proteins(canvas, [], [(recipe(), mushroom())], 0.1, 1, np.random.default_rng(0))) == 0
