import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.tomography.back_projection import BackProjectedVolume, back_project, r_weight

FULL_TURN_DEG = np.arange(-90.0, 90.0, 2.0)


def blob_projections(offset_xz, angles_deg, size, sigma=2.5):
    """Exact projections of a round 3D Gaussian of height 1 at ``offset_xz`` voxels from the centre."""
    x = np.arange(size) - size // 2
    t = np.radians(angles_deg)[:, None, None]
    u = offset_xz[0] * np.cos(t) + offset_xz[1] * np.sin(t)
    rows = np.exp(-0.5 * ((x[None, None, :] - u) / sigma) ** 2) * sigma * np.sqrt(2 * np.pi)
    y = np.exp(-0.5 * ((np.arange(16) - 8) / sigma) ** 2)
    return (rows * y[None, :, None]).astype(np.float32)


@pytest.mark.parametrize("size", [64, 65])
def test_full_turn_gives_back_density_and_place(size):
    images = r_weight(blob_projections((9, -6), FULL_TURN_DEG, size), roll_off_start=0.5)
    volume = back_project(images, FULL_TURN_DEG, 48)
    assert volume.shape == (48, 16, size)
    z, y, x = np.unravel_index(volume.argmax(), volume.shape)
    assert (z, y, x) == (24 - 6, 8, size // 2 + 9)
    assert volume.max() == pytest.approx(1.0, abs=0.06)
    assert abs(volume[24 + 12, 8, size // 2 - 15]) < 0.03


def test_positive_angle_brings_positive_z_to_positive_u():
    """The geometry contract: u = x cos t + z sin t."""
    image = np.zeros((1, 4, 33), np.float32)
    image[0, 2, 16 + 5] = 1.0
    volume = back_project(image, [90.0], 33)
    assert np.argmax(volume[:, 2, 16]) == 16 + 5


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 90), st.integers(5, 12)),
    corners=st.tuples(*[st.floats(0, 1)] * 6),
)
def test_a_region_read_alone_is_the_region_of_the_whole(seed, shape, corners):
    depth, height, width = shape
    images = np.random.default_rng(seed).normal(size=(5, height, width)).astype(np.float32)
    angles = np.linspace(-60, 60, 5)
    whole = back_project(images, angles, depth, threads=2)
    box = tuple(
        slice(*sorted((round(a * n), round(b * n)))) for a, b, n in zip(corners[:3], corners[3:], shape, strict=True)
    )
    part = BackProjectedVolume(images, angles, depth, threads=1).read(box)
    np.testing.assert_allclose(part, whole[box], atol=1e-5)


def test_filter_is_linear_and_keeps_no_constant():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 1, 4, 40)).astype(np.float32)
    np.testing.assert_allclose(r_weight(2 * a + b), 2 * r_weight(a) + r_weight(b), atol=1e-5)
    assert np.abs(r_weight(np.full((1, 4, 40), 100.0, np.float32))).max() < 0.5


def test_roll_off_takes_away_high_frequency_only():
    x = np.arange(256)
    low, high = (np.cos(2 * np.pi * f * (x + 0.5))[None, None].astype(np.float32) for f in (0.125, 0.4375))
    assert r_weight(low, 0.35, 0.05).std() == pytest.approx(r_weight(low, 0.5, 0.05).std(), rel=1e-3)
    expected = np.exp(-0.5 * (0.0875 / 0.05) ** 2)
    assert r_weight(high, 0.35, 0.05).std() == pytest.approx(expected * r_weight(high, 0.5).std(), rel=1e-2)
    assert r_weight(high, 0.35, 0.0).std() < 1e-3


def test_wrong_arguments_are_named():
    images = np.zeros((3, 4, 8), np.float32)
    with pytest.raises(ValueError, match="3 images but 2 tilt angles"):
        back_project(images, [0.0, 1.0], 4)
    with pytest.raises(ValueError, match="thickness"):
        back_project(images, [0.0, 1.0, 2.0], 0)
    with pytest.raises(ValueError, match="roll-off"):
        r_weight(images, -0.1)
