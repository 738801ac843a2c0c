import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from cryosiam.simulation.microscope.imaging import take_tilt_series
from cryosiam.simulation.microscope.reconstruction import reconstruct_volumes

SHAPE = (32, 64, 72)


def with_reconstruction(spec, **fields):
    reconstruction = spec.microscope.reconstruction.model_copy(update=fields)
    return spec.model_copy(update={"microscope": spec.microscope.model_copy(update={"reconstruction": reconstruction})})


@pytest.fixture
def balls(make_specimen):
    """Bodies of 60 Å, filling a tenth of the volume."""
    rng = np.random.default_rng(2)
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.5)
    return make_specimen(ndimage.gaussian_filter((noise > np.quantile(noise, 0.9)).astype(np.float32), 0.7))


@pytest.fixture
def counted(balls, make_spec):
    spec = make_spec(
        balls,
        optics={"defocus_um": 4.0},
        exposure={"radiation_damage": True, "inelastic_mean_free_path_nm": 310.0},
        detector={"kind": "k2", "counting_noise": True},
        reconstruction={"halves": True, "corrected_volume": True},
    )
    return spec, take_tilt_series(balls, spec, np.random.default_rng(1))


def correlation(first, second):
    inner = tuple(slice(4, -4) for _ in range(3))
    return np.corrcoef(first[inner].ravel(), second[inner].ravel())[0, 1]


def test_volumes_have_the_promised_scale_and_contrast(balls, counted):
    spec, series = counted
    told = []
    got = reconstruct_volumes(series, spec, SHAPE, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    for volume in (got.noisy, got.corrected):
        assert (volume.shape, volume.dtype) == (SHAPE, np.float32)
        assert volume.mean() == pytest.approx(0, abs=1e-5)
        assert volume.std() == pytest.approx(1, abs=1e-5)
        assert correlation(volume, -balls.density) > 0.2


def test_the_mean_of_the_halves_is_the_whole_and_each_is_its_own_reconstruction(counted):
    spec, series = counted
    got = reconstruct_volumes(series, spec, SHAPE)
    even, odd = got.halves
    np.testing.assert_allclose((even + odd) / 2, got.noisy, atol=1e-4)
    swapped = dataclasses.replace(series, halves=series.halves[::-1])
    np.testing.assert_allclose(reconstruct_volumes(swapped, spec, SHAPE).halves[0], odd, atol=1e-3)
    assert even.std() == pytest.approx(odd.std(), rel=0.05)
    assert even.std() > 1


def test_halves_of_an_empty_sample_have_nothing_in_common(make_specimen, make_spec):
    blank = make_specimen(np.zeros(SHAPE))
    spec = make_spec(blank, detector={"kind": "k2", "counting_noise": True}, reconstruction={"halves": True})
    got = reconstruct_volumes(take_tilt_series(blank, spec, np.random.default_rng(0)), spec, SHAPE)
    first, second = (np.fft.fftn(half) for half in got.halves)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in SHAPE), indexing="ij")))
    shell = (k.ravel() * 20).astype(int)
    cross = np.bincount(shell, (first * second.conj()).real.ravel())
    powers = [np.bincount(shell, np.abs(one).ravel() ** 2) for one in (first, second)]
    fsc = (cross / np.sqrt(powers[0] * powers[1]))[1:9]
    assert np.abs(fsc).max() < 0.15
    assert np.abs(fsc[3:]).max() < 0.04
    # Half the electrons, twice the noise variance.
    assert [half.std() for half in got.halves] == pytest.approx([np.sqrt(2)] * 2, rel=0.02)


def test_ctf_correction_brings_a_noiseless_volume_nearer_to_the_truth(balls, make_spec):
    spec = make_spec(balls, optics={"defocus_um": 5.0}, reconstruction={"corrected_volume": True})
    series = take_tilt_series(balls, spec, np.random.default_rng(1))
    plain = reconstruct_volumes(series, spec, SHAPE)
    flipped = reconstruct_volumes(series, with_reconstruction(spec, ctf_correction="phase-flip"), SHAPE)
    got = [correlation(v, -balls.density) for v in (plain.noisy, flipped.noisy, plain.corrected)]
    assert got[0] < got[1] < got[2]
    assert got[2] > 0.7


def test_correction_follows_the_defocus_gradient(make_specimen, make_spec):
    """Far from the axis at high tilt, the signs of the nominal defocus are wrong for fine detail."""
    rng = np.random.default_rng(0)
    film = ndimage.gaussian_filter(rng.standard_normal((16, 32, 900)), (0.5, 0.5, 0.5))
    film[:6] = film[10:] = 0
    specimen = make_specimen(film, 4.0)
    tilts = {"min_deg": 50, "max_deg": 60, "start_deg": 50, "step_deg": 5}
    optics = {"defocus_um": 2.0}
    series = take_tilt_series(specimen, make_spec(specimen, tilts, optics=optics), np.random.default_rng(0))
    truth = take_tilt_series(
        specimen,
        make_spec(
            specimen,
            tilts,
            optics={"phase_shift_deg": 90, "defocus_um": 0, "spherical_aberration_mm": 0} | {"defocus_gradient": False},
        ),
        np.random.default_rng(0),
    )
    reference = reconstruct_volumes(truth, make_spec(specimen, tilts), film.shape).noisy
    with_gradient, without = (
        reconstruct_volumes(
            series,
            make_spec(
                specimen,
                tilts,
                optics={**optics, "defocus_gradient": gradient},
                reconstruction={"ctf_correction": "phase-flip"},
            ),
            film.shape,
        ).noisy
        for gradient in (True, False)
    )
    far = (slice(None), slice(None), slice(0, 250))
    assert correlation(with_gradient[far], reference[far]) > correlation(without[far], reference[far]) + 0.05


def test_dose_weighting_helps_where_late_exposures_are_damaged(balls, make_spec):
    spec = make_spec(
        balls,
        optics={"defocus_um": 4.0},
        exposure={"radiation_damage": True, "total_dose": 800.0},
        detector={"kind": "k2", "counting_noise": True},
    )
    series = take_tilt_series(balls, spec, np.random.default_rng(1))
    flipped = with_reconstruction(spec, ctf_correction="phase-flip")
    weighted = with_reconstruction(flipped, dose_weighting=True)
    got = [reconstruct_volumes(series, one, SHAPE) for one in (flipped, weighted)]
    assert all(one.halves is None and one.corrected is None for one in got)
    truth = balls.density - ndimage.gaussian_filter(balls.density, 1.5)
    values = [correlation(one.noisy - ndimage.gaussian_filter(one.noisy, 1.5), -truth) for one in got]
    assert values[1] > 1.02 * values[0]


def test_the_result_does_not_depend_on_the_number_of_threads(counted):
    spec, series = counted
    one, two = (reconstruct_volumes(series, spec, SHAPE, threads=n) for n in (1, 2))
    for first, second in zip(
        (one.noisy, one.corrected, *one.halves), (two.noisy, two.corrected, *two.halves), strict=True
    ):
        assert first.tobytes() == second.tobytes()


def test_a_tilted_background_is_flattened(make_specimen, make_spec):
    depth, height, width = SHAPE
    z, _, x = np.ogrid[:depth, :height, :width]
    mask = np.broadcast_to(np.abs(z - 16) < 4 + 10 * x / width, SHAPE).copy()
    specimen = make_specimen(np.zeros(SHAPE), sample_mask=mask)
    spec = make_spec(specimen, exposure={"inelastic_mean_free_path_nm": 310.0})
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    image = series.images[len(series.images) // 2]
    assert image[:, 12].mean() > 1.03 * image[:, -12].mean()
    noise = make_spec(specimen, exposure={"inelastic_mean_free_path_nm": 310.0}, detector={"counting_noise": True})
    noisy = reconstruct_volumes(take_tilt_series(specimen, noise, np.random.default_rng(0)), noise, SHAPE).noisy
    left, right = noisy[:, :, :24].mean(), noisy[:, :, -24:].mean()
    assert abs(left - right) < 0.2


def test_a_volume_larger_than_the_images_is_refused(counted):
    spec, series = counted
    with pytest.raises(ValueError, match="do not cover"):
        reconstruct_volumes(series, spec, (32, 64, 500))
    with pytest.raises(ValueError, match="do not cover"):
        reconstruct_volumes(series, spec, (32, 60, 72))
