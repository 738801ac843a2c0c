import dataclasses

import numba
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from cryosiam.simulation.microscope.ctf import CTF
from cryosiam.simulation.microscope.gradient import DefocusGradient
from cryosiam.simulation.microscope.imaging import take_tilt_series
from cryosiam.simulation.spec import OpticsSpec
from cryosiam.tomography.projection import project

UNTILTED = {"min_deg": 0.0, "max_deg": 0.0}


@pytest.fixture
def carbon(make_specimen):
    """A film of amorphous carbon: all frequencies alike."""

    def make(height, width, voxel_size_angstrom):
        film = np.random.default_rng(5).standard_normal((16, height, width))
        film[:6] = film[9:] = 0
        return make_specimen(film, voxel_size_angstrom)

    return make


def rings(image, pixel, bins):
    """Return frequencies in 1/Å and the mean power of rings about the origin."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.fft2((image / image.mean() - 1) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n, pixel) for n in image.shape), indexing="ij")).ravel()
    ring = (frequency * 2 * pixel * bins).astype(int)
    number = np.bincount(ring, minlength=bins)[:bins]
    return np.bincount(ring, frequency)[:bins] / number, np.bincount(ring, power.ravel())[:bins] / number


def minimum_near(frequency, power, place, reach):
    """Return where the parabola fitted to the power about a place has its vertex; its error grows with the power."""
    near = np.abs(frequency - place) < reach
    a, b, _ = np.polyfit(frequency[near] - place, power[near], 2, w=1 / power[near])
    return place - b / (2 * a)


@pytest.mark.parametrize(("defocus", "plate"), [(2.0, 0.0), (3.5, 0.0), (1.2, 90.0), (2.0, 60.0)])
def test_thon_zeros_of_carbon_are_those_of_theory(carbon, make_spec, defocus, plate):
    specimen = carbon(480, 480, 4.0)
    optics = {"defocus_um": defocus, "phase_shift_deg": plate}
    detector = {"kind": "k2", "counting_noise": True}
    exposure = {"total_dose": 1000.0}
    spec = make_spec(specimen, UNTILTED, optics=optics, detector=detector, exposure=exposure)
    image = take_tilt_series(specimen, spec, np.random.default_rng(0)).images[0]
    frequency, power = rings(image, 4.0, 240)
    zeros = [zero for zero in CTF(defocus, phase_shift_deg=plate).zeros(0.09) if zero > 0.02]
    assert len(zeros) >= 2
    for zero in zeros:
        # A third of the way to the next maximum of CTF^2, whose argument grows by pi lambda dz k^2 (300 kV).
        reach = 0.33 / (4 * 0.01969 * defocus * 1e4 * zero)
        assert minimum_near(frequency, power, zero, reach) == pytest.approx(zero, rel=0.01)


def fitted_defocus(image, pixel):
    """Return the underfocus in µm whose CTF fits the Thon rings of an image best."""
    frequency, power = rings(image, pixel, 160)
    chosen = (frequency > 0.02) & (frequency < 0.085)
    level = gaussian_filter1d(power, 12)
    measured = (power / level)[chosen]
    tried = np.arange(1.0, 5.0, 0.01)
    fits = [np.corrcoef(measured, CTF(d).at(frequency[chosen]) ** 2)[0, 1] for d in tried]
    return tried[int(np.argmax(fits))]


@pytest.mark.parametrize("tilt", [50.0, -50.0])
def test_underfocus_grows_downwards_across_a_tilted_film(carbon, make_spec, tilt):
    """Electrons come from +z; at positive tilt +x goes down (z' = -x sin t), away from the gun: more underfocus."""
    specimen = carbon(320, 1100, 4.0)
    tilted = {"min_deg": tilt, "max_deg": tilt, "start_deg": tilt}
    spec = make_spec(specimen, tilted, optics={"defocus_um": 3.0})
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    centre, half, away = series.images.shape[2] // 2, 100, 330
    left, right = (
        fitted_defocus(series.images[0, :, u - half : u + half], 4.0) for u in (centre - away, centre + away)
    )
    expected = 2 * away * 4.0 * np.tan(np.deg2rad(tilt)) * 1e-4
    assert right - left == pytest.approx(expected, rel=0.12)
    assert (left + right) / 2 == pytest.approx(3.0, abs=0.04)
    level = make_spec(specimen, tilted, optics={"defocus_um": 3.0, "defocus_gradient": False})
    image = take_tilt_series(specimen, level, np.random.default_rng(0)).images[0]
    assert fitted_defocus(image[:, : 2 * half], 4.0) == pytest.approx(3.0, abs=0.04)


@pytest.mark.parametrize(("tilt", "pixel"), [(60.0, 6.8), (-30.0, 6.8), (70.0, 3.0), (0.0, 10.0)])
def test_interpolated_defoci_are_the_true_ones_within_a_tenth_radian(tilt, pixel):
    gradient = DefocusGradient.of_tilt(tilt, 640, pixel, 300.0)
    assert gradient.shares.sum(axis=0) == pytest.approx(1, abs=1e-5)
    offset = (np.arange(640) - 320) * pixel * np.tan(np.deg2rad(tilt)) * 1e-4
    assert gradient.offsets_um @ gradient.shares == pytest.approx(offset, abs=1e-5)
    nyquist = 0.5 / pixel
    nodes = np.array([CTF(3.0 + one).at(nyquist) for one in gradient.offsets_um])
    true = np.array([CTF(3.0 + one).at(nyquist) for one in offset])
    assert np.abs(nodes @ gradient.shares - true).max() < 0.1


def test_the_adjoint_of_imaging_is_correction():
    rng = np.random.default_rng(0)
    gradient = DefocusGradient.of_tilt(60.0, 90, 4.0, 300.0)
    a, b = rng.standard_normal((2, 48, 90)).astype(np.float32)
    transfers = [CTF(2 + offset).image((48, 90), 4.0) for offset in gradient.offsets_um]
    imaged = np.fft.irfft2(gradient.imaged(a, transfers), s=(48, 90))
    assert (imaged * b).sum() == pytest.approx((a * gradient.corrected(b, transfers)).sum(), rel=1e-4)


def realistic(specimen, make_spec, **reconstruction):
    return make_spec(
        specimen,
        {"step_deg": 15},
        optics={"defocus_um": 2.5, "defocus_spread_um": 0.1, "phase_shift_deg": 10, "phase_shift_per_tilt_deg": 2},
        exposure={"radiation_damage": True, "inelastic_mean_free_path_nm": 310.0},
        detector={"kind": "k2", "counting_noise": True},
        alignment={"shift_angstrom": 2.0, "rotation_deg": 0.2},
        reconstruction=reconstruction,
    )


@pytest.fixture
def blob(make_specimen, gaussian_bead):
    return make_specimen(gaussian_bead((24, 40, 48), (12, 20, 24), sigma=4))


def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(blob, make_spec):
    spec = realistic(blob, make_spec, halves=True)
    several = take_tilt_series(blob, spec, np.random.default_rng(4), threads=2)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = take_tilt_series(blob, spec, np.random.default_rng(4), threads=1)
    finally:
        numba.set_num_threads(before)
    for one in dataclasses.fields(several):
        assert np.asarray(getattr(several, one.name)).tobytes() == np.asarray(getattr(alone, one.name)).tobytes()
    other = take_tilt_series(blob, spec, np.random.default_rng(5))
    assert not np.array_equal(other.images, several.images)


def test_even_and_odd_frames_add_up_exactly(blob, make_spec):
    series = take_tilt_series(blob, realistic(blob, make_spec, halves=True), np.random.default_rng(0))
    even, odd = series.halves
    assert np.array_equal(even + odd, series.images)
    whole = take_tilt_series(blob, realistic(blob, make_spec, halves=False), np.random.default_rng(0))
    np.testing.assert_allclose(whole.images, series.images, rtol=1e-4)
    assert whole.halves is None


def test_the_series_tells_what_was_done(blob, make_spec):
    told = []
    spec = realistic(blob, make_spec)
    series = take_tilt_series(blob, spec, np.random.default_rng(0), progress=lambda done, of: told.append((done, of)))
    assert told == [(i, 9) for i in range(1, 10)]
    assert series.images.dtype == np.float32
    assert series.images.shape[:2] == (9, 40)
    assert series.images.shape[2] >= np.hypot(24, 48)
    assert series.phase_shift_deg == pytest.approx(10 + 2 * series.exposure_index)
    assert series.defocus_um.std() == pytest.approx(0.1, rel=0.6)
    assert series.tilt_angles_deg.tolist() == [-60, -45, -30, -15, 0, 15, 30, 45, 60]


def test_ice_takes_electrons_by_the_path_met(make_specimen, make_spec):
    mask = np.zeros((40, 48, 96), bool)
    mask[9:31] = True
    specimen = make_specimen(np.zeros(mask.shape), sample_mask=mask)
    exposure = {"inelastic_mean_free_path_nm": 100.0, "total_dose": 90.0}
    spec = make_spec(specimen, {"step_deg": 15}, exposure=exposure)
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    path = 22 * 6.8 / np.cos(np.deg2rad(series.tilt_angles_deg))
    expected = 10 * 6.8**2 * np.exp(-path / 1000.0)
    assert series.images.mean(axis=(1, 2)) == pytest.approx(expected, rel=2e-3)
    assert series.images.std(axis=(1, 2)).max() / expected.max() < 2e-3


def test_a_thicker_side_is_darker_where_the_projector_sees_it(make_specimen, make_spec):
    """The coarse projection of the mask lies on the fine one, whatever is left over from binning."""
    shape = (41, 50, 95)
    mask = np.zeros(shape, bool)
    mask[10:30, :, :40] = True
    specimen = make_specimen(np.zeros(shape), sample_mask=mask)
    spec = make_spec(specimen, {"step_deg": 20}, exposure={"inelastic_mean_free_path_nm": 500.0, "total_dose": 7.0})
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    path = -np.log(series.images / 6.8**2) * 5000.0 / 6.8
    exact = project(mask.astype(np.float32), series.tilt_angles_deg, image_width=series.images.shape[2], mirror=True)
    inner = slice(12, -12)
    u = np.arange(path.shape[2])[inner]
    for got, expected in zip(path[:, 25, inner], exact[:, 25, inner], strict=True):
        assert (got @ u) / got.sum() == pytest.approx((expected @ u) / expected.sum(), abs=0.3)
        assert np.abs(got - expected).mean() < 0.03 * expected.max()


def test_contrast_scales_with_the_contrast_factor(blob, make_spec):
    images = [
        take_tilt_series(
            blob, make_spec(blob, UNTILTED, optics={"contrast_factor": f}), np.random.default_rng(0)
        ).images
        for f in (1.0, 0.4)
    ]
    full, less = (image / np.float32(120 * 6.8**2) - 1 for image in images)
    np.testing.assert_allclose(less, 0.4 * full, atol=1e-6)
    assert full.min() < -0.01


def test_damage_and_envelope_blur_later_exposures(carbon, make_spec):
    specimen = carbon(64, 64, 4.0)
    spec = make_spec(
        specimen, {"min_deg": -2, "max_deg": 2, "step_deg": 2}, exposure={"radiation_damage": True, "total_dose": 300.0}
    )
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    contrast = (series.images / series.images.mean(axis=(1, 2), keepdims=True)).std(axis=(1, 2))
    assert np.all(np.diff(contrast[np.argsort(series.exposure_index)]) < 0)
    enveloped = make_spec(specimen, UNTILTED, optics={"envelope_b_factor": 500.0})
    sharp = make_spec(specimen, UNTILTED)
    powers = [
        rings(take_tilt_series(specimen, one, np.random.default_rng(0)).images[0], 4.0, 16)
        for one in (enveloped, sharp)
    ]
    ratio = powers[0][1] / powers[1][1]
    assert ratio[4:12] == pytest.approx(np.exp(-250.0 * powers[0][0][4:12] ** 2), rel=0.15)


def test_an_undrawn_recipe_is_refused(blob, make_spec):
    spec = make_spec(blob, optics={"defocus_um": (2.0, 3.0)})
    assert isinstance(spec.microscope.optics, OpticsSpec)
    with pytest.raises(ValueError, match="not drawn"):
        take_tilt_series(blob, spec, np.random.default_rng(0))
