"""Views of particles: geometry by beads and balls, even rotations, and grey values left alone outside the particle."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation

from cryosiam.training.augment.subtomograms import (
    ParticleViewRecipe,
    moved,
    random_particle_view,
    random_rotations,
)

STILL = ParticleViewRecipe(rotate=False, shift_share=0, crop_share=0, grey=None)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bead(size: int, at_xyz_from_centre: np.ndarray, width: float = 1.5) -> torch.Tensor:
    z, y, x = np.indices((size,) * 3) - size // 2
    squares = sum((axis - at) ** 2 for axis, at in zip((x, y, z), at_xyz_from_centre, strict=True))
    return torch.from_numpy(np.exp(-squares / (2 * width**2)).astype(np.float32))[None, None]


def centre_of_mass_xyz(cube: torch.Tensor) -> np.ndarray:
    values = cube[0, 0].double().numpy()
    z, y, x = np.indices(values.shape) - len(values) // 2
    return np.array([(values * axis).sum() for axis in (x, y, z)]) / values.sum()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), size=st.sampled_from([24, 25]))
def test_a_bead_goes_where_the_matrix_and_the_shift_say(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    place, shift = rng.uniform(-3, 3, 3), rng.uniform(-2, 2, 3)
    matrix = Rotation.random(rng=rng).as_matrix()
    cube = moved(bead(size, place), torch.tensor(matrix[None]).float(), torch.tensor(shift[None]).float())
    np.testing.assert_allclose(centre_of_mass_xyz(cube), matrix @ place + shift, atol=0.05)


@pytest.mark.parametrize("size", [24, 25])
def test_a_quarter_turn_about_z_takes_x_to_y(size: int) -> None:
    matrix = torch.from_numpy(Rotation.from_euler("z", 90, degrees=True).as_matrix())[None].float()
    cube = moved(bead(size, np.array([5, 0, 2])), matrix, torch.zeros(1, 3))
    torch.testing.assert_close(cube, bead(size, np.array([0, 5, 2])), rtol=0, atol=1e-4)


def test_a_centred_ball_stays() -> None:
    ball = bead(24, np.zeros(3), width=4.0)
    views = random_particle_view(ball.expand(10, -1, -1, -1, -1), seeded(0), STILL.model_copy(update={"rotate": True}))
    assert float((views - ball).abs().max()) < 0.03


def test_rotations_are_even_over_all_rotations() -> None:
    matrices = random_rotations(4000, seeded(1)).double().numpy()
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (4000, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, atol=1e-5)
    # Of even rotations every entry is even on [-1, 1], and the angle t has the density (1 - cos t) / pi.
    for entry in matrices.reshape(-1, 9).T:
        assert stats.kstest(entry, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    angles = np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert stats.kstest(angles, lambda t: (t - np.sin(t)) / np.pi).pvalue > 1e-4


def test_shifts_reach_ten_voxels_of_64_along_each_axis() -> None:
    recipe = STILL.model_copy(update={"shift_share": 10 / 64})
    views = random_particle_view(bead(32, np.zeros(3)).expand(60, -1, -1, -1, -1), seeded(2), recipe)
    places = np.array([centre_of_mass_xyz(view[None]) for view in views])
    assert (np.abs(places) < 5.05).all()
    assert (places.max(axis=0) > 4).all()
    assert (places.min(axis=0) < -4).all()


def test_cropping_takes_a_fifth_of_the_edge_at_most_from_any_face() -> None:
    views = random_particle_view(torch.ones(80, 1, 20, 20, 20), seeded(3), STILL.model_copy(update={"crop_share": 0.2}))
    for axis in (2, 3, 4):
        kept = views.amax(dim=tuple({1, 2, 3, 4} - {axis}))
        assert set(kept.sum(1).int().tolist()) == {16, 17, 18, 19, 20}
        assert int((kept[:, 0] == 0).sum()) > 20
        assert int((kept[:, -1] == 0).sum()) > 20
        # What is kept is one piece.
        assert int((kept.diff(dim=1) == 1).sum(1).max()) <= 1


def test_same_seed_same_views_and_the_cubes_stay() -> None:
    cubes = bead(16, np.array([2, 1, 0])).repeat(3, 1, 1, 1, 1)
    before = cubes.clone()
    first, second, other = (random_particle_view(cubes, seeded(seed)) for seed in (4, 4, 5))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(cubes, before)
    assert random_particle_view(cubes[:0], seeded(4)).shape == (0, 1, 16, 16, 16)


def test_nothing_switched_on_changes_nothing() -> None:
    cubes = torch.randn(2, 1, 12, 12, 12, generator=seeded(6))
    torch.testing.assert_close(random_particle_view(cubes, seeded(7), STILL), cubes, rtol=0, atol=1e-5)


def test_grey_changes_stay_within_the_particle() -> None:
    cubes = torch.zeros(12, 1, 16, 16, 16)
    cubes[:, :, 5:11, 4:12, 5:11] = -1 + 0.3 * torch.randn(12, 1, 6, 8, 6, generator=seeded(8))
    grey = ParticleViewRecipe(rotate=False, shift_share=0, crop_share=0)
    views = random_particle_view(cubes, seeded(9), grey)
    inside = cubes.abs() > 1e-3
    assert float(views[~inside].abs().max()) < 1e-3
    assert float((views - cubes)[inside].abs().mean()) > 0.05
