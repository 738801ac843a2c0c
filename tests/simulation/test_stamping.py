import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cryosiam.errors import InputError
from cryosiam.simulation.canvas import CLASS_INDEX, Canvas
from cryosiam.simulation.rotation import rotate_cube, rotate_mask
from cryosiam.simulation.shapes import builtin_species
from cryosiam.simulation.stamping import fits, posed, stamp

SPECIES = {one.name: one for one in builtin_species(10.0)}
NAMES = sorted(SPECIES)
BARREL = SPECIES["barrel"]
seeds = st.integers(0, 10**6)


def pose(seed):
    rng = np.random.default_rng(seed)
    return Rotation.random(rng=rng).as_matrix(), rng.uniform(-0.5, 0.5, 3)


def band_limited(cube, rotation, shift_xyz, factor=4, pad=6):
    """Rotate by Fourier upsampling and linear interpolation on the fine grid."""
    padded = np.pad(cube, pad).astype(np.float64)
    n, half = cube.shape[0], cube.shape[0] // 2
    size, fine = padded.shape[0], padded.shape[0] * factor
    low = fine // 2 - size // 2
    spectrum = np.zeros((fine,) * 3, complex)
    spectrum[(slice(low, low + size),) * 3] = np.fft.fftshift(np.fft.fftn(padded))
    values = np.fft.ifftn(np.fft.ifftshift(spectrum)).real * factor**3
    inverse_zyx = rotation.T[::-1, ::-1]
    offset = ((half + pad) - inverse_zyx @ (half + shift_xyz[::-1])) * factor
    return ndimage.affine_transform(values, inverse_zyx * factor, offset, (n,) * 3, order=1)


@pytest.mark.parametrize("name", ["cage", "ellipsoid", "ring-stack"])
def test_a_rotated_density_is_that_of_a_band_limited_rotation(name):
    cube = SPECIES[name].density
    rotation, shift = pose(len(name))
    drawn = rotate_cube(cube, rotation, shift)
    reference = band_limited(cube, rotation, shift)
    assert np.corrcoef(drawn.ravel(), reference.ravel())[0, 1] > 0.995
    assert np.abs(drawn - reference).max() < 0.15


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from(NAMES), seed=seeds)
def test_mass_and_volume_are_kept_and_the_centre_moves_as_told(name, seed):
    one = SPECIES[name]
    rotation, shift = pose(seed)
    half = one.density.shape[0] // 2
    drawn = rotate_cube(one.density, rotation, shift)
    assert drawn.sum(dtype=np.float64) == pytest.approx(one.density.sum(dtype=np.float64), rel=5e-3)
    before = np.array(ndimage.center_of_mass(one.density))[::-1] - half
    after = np.array(ndimage.center_of_mass(drawn))[::-1] - half
    assert np.abs(after - (rotation @ before + shift)).max() < 0.05
    assert rotate_mask(one.mask, rotation, shift).sum() == pytest.approx(one.volume_voxels, rel=0.06)


def test_no_rotation_changes_nothing():
    assert np.allclose(rotate_cube(BARREL.density, np.eye(3), np.zeros(3)), BARREL.density, atol=1e-6)
    assert np.array_equal(rotate_mask(BARREL.mask, np.eye(3), np.zeros(3)), BARREL.mask)


def test_a_quarter_turn_about_z_takes_x_to_y():
    cube = np.zeros((9, 9, 9), np.float32)
    cube[4, 4, 6] = 1
    turned = rotate_cube(cube, Rotation.from_euler("z", 90, degrees=True).as_matrix(), np.zeros(3))
    assert np.unravel_index(turned.argmax(), turned.shape) == (4, 6, 4)
    moved = rotate_cube(cube, np.eye(3), np.array([0.0, 0.0, 0.5]))
    assert moved[4, 4, 6] == pytest.approx(moved[5, 4, 6]) == pytest.approx(0.5625)


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from(NAMES), seed=seeds, where=st.tuples(*[st.floats(18.0, 45.0)] * 3))
def test_a_stamped_particle_lies_where_it_was_posed(name, seed, where):
    one = SPECIES[name]
    canvas = Canvas.of_sample(np.ones((64, 64, 64), bool), 10.0)
    cubes = posed(one, np.array(where), pose(seed)[0])
    assert fits(canvas, cubes)
    assert stamp(canvas, cubes, 5) == 1
    assert np.count_nonzero(canvas.instances == 5) == cubes[1].sum()
    assert np.array_equal(canvas.semantic == CLASS_INDEX["particle"], canvas.instances == 5)
    assert np.abs(np.array(ndimage.center_of_mass(canvas.instances)) - where).max() < 0.6
    assert not fits(canvas, cubes)


def test_particles_may_leave_through_the_sides_but_not_through_the_slab():
    canvas = Canvas.of_sample(np.ones((48, 48, 48), bool), 10.0)
    side = posed(BARREL, np.array([24.0, 0.0, 24.0]), np.eye(3))
    assert fits(canvas, side)
    assert fits(canvas, posed(BARREL, np.array([24.0, -0.4, 24.0]), np.eye(3)))
    for outside in ([24.0, -0.6, 24.0], [24.0, 24.0, 47.6]):
        assert not fits(canvas, posed(BARREL, np.array(outside), np.eye(3)))
    assert 0.3 < stamp(canvas, side, 1) < 0.7
    assert not fits(canvas, posed(BARREL, np.array([1.0, 24.0, 24.0]), np.eye(3)))
    canvas.sample[30:] = False
    assert not fits(canvas, posed(BARREL, np.array([24.0, 30.0, 24.0]), np.eye(3)))
    assert not fits(canvas, posed(BARREL, np.array([15.0, 100.0, 24.0]), np.eye(3)))


def test_lipids_give_way_and_all_else_is_added_to():
    canvas = Canvas.of_sample(np.ones((40, 40, 40), bool), 10.0)
    canvas.density[:] = 0.25
    canvas.scaffold[:] = 3
    canvas.semantic[:] = CLASS_INDEX["membrane"]
    cubes = posed(BARREL, np.array([20.0, 20.0, 20.0]), np.eye(3))
    assert not fits(canvas, cubes)
    assert fits(canvas, cubes, CLASS_INDEX["membrane"])
    density, mask, corner = cubes
    box = tuple(slice(c, c + n) for c, n in zip(corner, mask.shape, strict=True))
    stamp(canvas, cubes, 1, replace=True)
    assert np.allclose(canvas.density[box][mask], density[mask])
    assert (canvas.scaffold[box][mask] == 0).all()
    assert np.allclose(canvas.density[box][~mask], 0.25 + density[~mask])
    stamp(canvas, cubes, 2)
    assert np.allclose(canvas.density[box][mask], 2 * density[mask])


def test_ids_of_membranes_and_filaments_never_wrap_around():
    canvas = Canvas.of_sample(np.ones((4, 4, 4), bool), 10.0)
    ids = [canvas.new_scaffold_id("actin") for _ in range(65_535)]
    canvas.scaffold[0, 0, 0] = ids[-1]
    assert canvas.scaffold[0, 0, 0] == 65_535
    with pytest.raises(InputError, match="more than 65535 membranes and filaments"):
        canvas.new_scaffold_id("actin")
