import numpy as np
import pytest

from cryosiam.domain import Contrast, Hand, TiltAlignment, TiltSeries
from cryosiam.errors import InputError
from cryosiam.tomography.projection import project
from cryosiam.tomography.reconstruct import ReconstructionOptions, weight_tilt_series

ANGLES_DEG = np.arange(-60.0, 61.0, 4.0)


def whole(tomogram):
    return tomogram.volume.read(tuple(slice(0, n) for n in tomogram.shape))


def three_arms():
    """Return a handed object: arms along x, y and z of lengths 8, 6 and 14 from one corner."""
    volume = np.zeros((32, 48, 48), np.float32)
    volume[15:18, 23:26, 24:32] = -1
    volume[15:18, 24:30, 23:26] = -1
    volume[16:30, 23:26, 23:26] = -1
    return volume


def series_of(images, angles_deg=ANGLES_DEG, inverted=False, pixel_size=10.0):
    n = len(images)
    alignment = TiltAlignment(np.asarray(angles_deg), np.broadcast_to(np.eye(2), (n, 2, 2)), np.zeros((n, 2)), inverted)
    return TiltSeries("TS-01", images, pixel_size, alignment)


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.mark.parametrize(
    ("inverted", "option", "hand"),
    [
        (False, None, Hand.AS_GIVEN),
        (True, None, Hand.INVERTED),
        (True, False, Hand.AS_GIVEN),
        (False, True, Hand.INVERTED),
    ],
)
def test_hand_follows_the_alignment_or_the_option_and_is_recorded(inverted, option, hand):
    phantom = three_arms()
    series = series_of(project(phantom, ANGLES_DEG), inverted=inverted)
    tomogram = weight_tilt_series(series, ReconstructionOptions(10.0, 32, invert_angles=option)).tomogram()
    mirror = np.roll(phantom[::-1], 1, axis=0)
    same, mirrored = (correlation(whole(tomogram), reference) for reference in (phantom, mirror))
    if hand is Hand.INVERTED:
        same, mirrored = mirrored, same
    assert tomogram.hand is hand
    assert same > 0.5
    assert same > mirrored + 0.2


def test_the_tomogram_says_how_it_was_made():
    angles = ANGLES_DEG + 7.0
    series = series_of(project(three_arms(), angles), angles)
    tomogram = weight_tilt_series(series, ReconstructionOptions(10.0, 30, "sirtlike")).tomogram()
    assert (tomogram.run, tomogram.tomogram_type, tomogram.voxel_size_angstrom) == ("TS-01", "sirtlike", 10.0)
    assert tomogram.shape == (30, 48, 48)
    assert tomogram.contrast is Contrast.DARK
    assert (tomogram.wedge.tilt_min_deg, tomogram.wedge.tilt_max_deg, tomogram.wedge.tilt_axis) == (-53, 67, "y")


def test_inverted_angles_mirror_the_wedge_too():
    angles = ANGLES_DEG + 7.0
    series = series_of(project(three_arms(), angles), angles, inverted=True)
    wedge = weight_tilt_series(series, ReconstructionOptions(10.0, 8)).tomogram().wedge
    assert (wedge.tilt_min_deg, wedge.tilt_max_deg) == (-67, 53)


def test_halves_share_no_tilt_and_hold_the_same_object():
    order = np.random.default_rng(3).permutation(len(ANGLES_DEG))
    series = series_of(project(three_arms(), ANGLES_DEG[order]), ANGLES_DEG[order])
    weighted = weight_tilt_series(series, ReconstructionOptions(10.0, 32))
    even, odd = weighted.halves()
    assert sorted([*even, *odd]) == list(range(len(ANGLES_DEG)))
    np.testing.assert_array_equal(np.sort(ANGLES_DEG[order][even]), ANGLES_DEG[::2])
    halves = [weighted.tomogram(tilts, suffix) for tilts, suffix in ((even, "-even"), (odd, "-odd"))]
    assert [half.tomogram_type for half in halves] == ["wbp-even", "wbp-odd"]
    assert correlation(*map(whole, halves)) > 0.6


def test_threads_do_not_change_the_voxels():
    series = series_of(project(three_arms(), ANGLES_DEG))
    one, two = (
        whole(weight_tilt_series(series, ReconstructionOptions(20.0, 16, threads=n)).tomogram()) for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_grey_scale_of_the_images_does_not_matter():
    images = project(three_arms(), ANGLES_DEG)
    bright = images * np.linspace(3, 900, len(images), dtype=np.float32)[:, None, None] + 5000
    plain, scaled = (
        whole(weight_tilt_series(series_of(stack), ReconstructionOptions(10.0, 32)).tomogram())
        for stack in (images, bright)
    )
    assert correlation(plain, scaled) > 0.999


def test_progress_counts_every_image():
    seen = []
    series = series_of(project(three_arms(), ANGLES_DEG))
    weight_tilt_series(series, ReconstructionOptions(10.0, 8), lambda done, total: seen.append((done, total)))
    assert sorted(seen) == [(i, len(ANGLES_DEG)) for i in range(1, len(ANGLES_DEG) + 1)]


def test_an_empty_image_is_named():
    images = project(three_arms(), ANGLES_DEG)
    images[4] = 3.0
    with pytest.raises(InputError, match="tilt image 5 of run TS-01"):
        weight_tilt_series(series_of(images), ReconstructionOptions(10.0, 8))


@pytest.mark.parametrize("voxel_size", [0.0, -10.0, float("nan")])
def test_an_impossible_voxel_size_is_refused(voxel_size):
    with pytest.raises(InputError, match="voxel size"):
        ReconstructionOptions(voxel_size, 8)


def test_a_voxel_smaller_than_the_pixel_is_refused():
    with pytest.raises(InputError, match="smaller than the pixel size"):
        weight_tilt_series(series_of(project(three_arms(), ANGLES_DEG)), ReconstructionOptions(5.0, 8))
