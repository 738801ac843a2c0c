import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cryosiam.errors import InputError
from cryosiam.simulation.slab import make_slab, undulation
from cryosiam.simulation.spec import SlabSpec
from cryosiam.simulation.structures import ICE_POTENTIAL_VOLT, PROTEIN_CONTRAST_VOLT

ICE = ICE_POTENTIAL_VOLT / PROTEIN_CONTRAST_VOLT
SHAPE = (60, 81, 90)


def made(seed=0, shape=SHAPE, voxel=10.0, **values):
    spec = SlabSpec(**{"thickness_nm": 30.0, "tilt_deg": 0.0, "roughness_angstrom": 0.0, **values})
    return make_slab(shape, voxel, spec, np.random.default_rng(seed))


def plane_normal(heights):
    """Unit normal (x, y, z) of a plane given by its heights in voxels."""
    slope_y, slope_x = (np.diff(heights, axis=axis).mean() for axis in (0, 1))
    normal = np.array([-slope_x, -slope_y, 1.0])
    return normal / np.linalg.norm(normal)


@settings(max_examples=30, deadline=None)
@given(thickness=st.floats(10, 35), tilt=st.floats(0, 12), azimuth=st.floats(0, 360), wedge=st.floats(0, 6))
def test_thickness_is_that_asked_for_at_the_centre_along_the_normal(thickness, tilt, azimuth, wedge):
    slab = made(thickness_nm=thickness, tilt_deg=tilt, azimuth_deg=azimuth, wedge_deg=wedge)
    normal = np.array([
        np.sin(np.deg2rad(tilt)) * np.cos(np.deg2rad(azimuth)),
        np.sin(np.deg2rad(tilt)) * np.sin(np.deg2rad(azimuth)),
        np.cos(np.deg2rad(tilt)),
    ])  # fmt: skip
    centre = np.array([45, 40, 30])
    # March along the normal from the volume's centre until the interpolated faces are crossed.
    total = 0.0
    for sign, heights in ((1, slab.upper), (-1, slab.lower)):
        height, face = heights[40, 45], plane_normal(heights)
        distance = ((np.array([45, 40, height]) - centre) @ face) / (sign * normal @ face)
        total += distance
    assert total * 1.0 == pytest.approx(thickness, abs=1e-3)
    angle = np.rad2deg(np.arccos(np.clip(plane_normal(slab.upper) @ plane_normal(slab.lower), -1, 1)))
    assert angle == pytest.approx(wedge, abs=0.05)


def test_the_normal_leans_towards_the_azimuth():
    for azimuth in (0.0, 90.0, 200.0):
        slab = made(tilt_deg=10, azimuth_deg=azimuth)
        normal = plane_normal(slab.upper)
        assert np.rad2deg(np.arctan2(normal[1], normal[0])) % 360 == pytest.approx(azimuth, abs=0.01)
        assert np.rad2deg(np.arccos(normal[2])) == pytest.approx(10, abs=0.01)


def test_a_wedge_is_thicker_towards_the_azimuth():
    slab = made(wedge_deg=5, azimuth_deg=90)
    thickness = slab.upper - slab.lower
    assert (np.diff(thickness, axis=0) > 0).all()
    assert_allclose(np.diff(thickness, axis=1), 0, atol=1e-4)
    assert thickness[40, 45] == pytest.approx(30, abs=1e-3)


def test_the_sample_lies_between_the_faces():
    slab = made(tilt_deg=5, wedge_deg=2, roughness_angstrom=20)
    z = np.arange(SHAPE[0])[:, None, None]
    assert (slab.sample == ((z >= slab.lower) & (z <= slab.upper))).all()
    assert slab.sample.any()
    assert not slab.sample.all()


def test_an_even_slab_has_no_surface():
    assert not made(tilt_deg=5, wedge_deg=2).surface.any()


def test_the_surface_is_the_ice_that_roughness_adds_and_takes_away():
    slab = made(tilt_deg=3, roughness_angstrom=20, seed=3)
    surface = slab.surface
    assert surface.dtype == np.float32
    assert abs(surface).max() <= ICE + 1e-5
    expected = ICE * ((slab.upper - slab.lower) - (slab.even_upper - slab.even_lower))
    assert_allclose(surface.sum(0), expected, atol=1e-4)


@pytest.mark.parametrize("voxel", [6.8, 20.0])
def test_roughness_has_the_rms_asked_for(voxel):
    waves = [
        made(seed, (40, 200, 200), voxel, thickness_nm=15, roughness_angstrom=15.0).upper - 20 for seed in range(12)
    ]
    steps = [(wave - np.mean(wave[100, 100])) for wave in waves]
    even = made(0, (40, 200, 200), voxel, thickness_nm=15).upper - 20
    rms = np.sqrt(np.mean([(wave - even) ** 2 for wave in waves])) * voxel
    assert rms == pytest.approx(15, rel=0.2)
    # Neighbouring columns differ by little.
    assert np.abs(np.diff(steps, axis=1)).max() * voxel < 15


def test_undulation_is_fair_everywhere():
    fields = np.array([undulation((30, 60), 25.0, np.random.default_rng(seed)) for seed in range(300)])
    assert abs(fields.mean(0)).max() < 0.3
    assert fields.std(0).min() > 0.6
    assert fields.std(0).max() < 1.3


def test_a_slab_too_thick_for_the_volume_is_refused():
    with pytest.raises(InputError, match=r"slab of 61 nm .* volume 60 nm deep"):
        made(thickness_nm=61.0)
    with pytest.raises(InputError, match="does not fit a volume 60 nm deep"):
        made(thickness_nm=50.0, tilt_deg=40.0)


def test_a_slab_that_leaves_the_volume_is_refused():
    with pytest.raises(InputError, match="lies outside a volume 60 nm deep"):
        made(thickness_nm=35.0, tilt_deg=45.0, shape=(60, 300, 300))


def test_slabs_of_the_benchmark_fit():
    for thickness in (60.0, 75.0, 90.0, 100.0):
        spec = SlabSpec(thickness_nm=thickness)
        slab = make_slab((100, 300, 300), 13.6, spec, np.random.default_rng(0))
        assert slab.sample.mean() == pytest.approx(thickness / 136, rel=0.03)


def test_same_seed_same_slab():
    first, again, other = (made(seed, roughness_angstrom=20) for seed in (1, 1, 2))
    assert first.surface.tobytes() == again.surface.tobytes()
    assert (first.sample == again.sample).all()
    assert (first.lower != other.lower).any()
