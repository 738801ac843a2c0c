"""The wedge: what a reconstruction holds beyond the planes that its tilts looked at.

Measured on 128 x 8 x 192 voxels and 41 tilts (-60 to 60 by 3), as a share of all energy: exactly sampled planes 5e-11;
back-projection with images interpolated sixteenfold first 3e-10 (fourfold 8e-8, twofold 1e-6); the project's weighted
back-projection, which interpolates linearly, 9e-6 over the whole spectrum and 4e-7 up to half of Nyquist; the specimen
itself 4e-2.
"""

import numpy as np
import pytest
from scipy import fft

from cryosiam.simulation.microscope.wedge import energy_outside_tilts, seen_by_tilts
from cryosiam.tomography.back_projection import back_project, r_weight
from cryosiam.tomography.projection import project

DEPTH, HEIGHT, WIDTH = 128, 8, 192
TILTS = np.arange(-60, 61, 3.0)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:DEPTH, :HEIGHT, :WIDTH]
    volume = np.zeros((DEPTH, HEIGHT, WIDTH), np.float32)
    for _ in range(12):
        cz, cy, cx = rng.uniform([40, 0, 50], [88, 8, 142])
        volume += np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.0**2))
    return volume


@pytest.fixture(scope="module")
def images(blobs):
    return r_weight(project(blobs, TILTS, image_width=2 * WIDTH))


def smear_interpolated(images, factor):
    """Back-project with images interpolated in Fourier space first: linear interpolation then does little."""
    width = images.shape[2]
    fine = fft.irfft(fft.rfft(images.astype(np.float64), axis=2), n=factor * width, axis=2)
    z, x = np.mgrid[:DEPTH, :WIDTH]
    volume = np.zeros((DEPTH, images.shape[1], WIDTH))
    for image, tilt in zip(fine, np.deg2rad(TILTS), strict=True):
        u = (x - WIDTH // 2) * np.cos(tilt) + (z - DEPTH // 2) * np.sin(tilt) + width // 2
        for y, row in enumerate(image):
            volume[:, y] += np.interp(u * factor, np.arange(factor * width), row)
    return volume


def planes(tilts, seed=1):
    """Waves along the directions of the tilts, at any frequency."""
    rng = np.random.default_rng(seed)
    z, x = np.mgrid[:DEPTH, :WIDTH]
    volume = np.zeros((DEPTH, 1, WIDTH))
    for tilt in np.deg2rad(tilts):
        u = (x - WIDTH // 2) * np.cos(tilt) + (z - DEPTH // 2) * np.sin(tilt)
        for frequency in rng.uniform(0, 0.45, 6):
            volume[:, 0] += np.cos(2 * np.pi * (frequency * u + rng.random()))
    return volume


def test_exactly_sampled_planes_have_nothing_outside():
    assert energy_outside_tilts(planes(TILTS), TILTS) < 1e-9


def test_a_tilt_too_far_or_of_the_wrong_sign_shows():
    one_sided = np.arange(-60, 31, 3.0)
    assert energy_outside_tilts(planes(one_sided), one_sided) < 1e-9
    assert energy_outside_tilts(planes(one_sided), -one_sided) > 0.1
    assert energy_outside_tilts(planes([*TILTS, 75.0]), TILTS) > 1e-3


def test_back_projection_stays_on_the_planes_but_for_its_interpolation(blobs, images):
    volume = back_project(images, TILTS, DEPTH)[:, :, WIDTH // 2 : WIDTH // 2 + WIDTH]
    assert energy_outside_tilts(blobs, TILTS) > 0.02
    assert energy_outside_tilts(volume, TILTS) < 2e-5
    assert energy_outside_tilts(volume, TILTS, highest_frequency=0.25) < 1e-6
    assert energy_outside_tilts(smear_interpolated(images, 16), TILTS) < 1e-8


def test_four_samples_per_pixel_keep_all_frequencies_on_the_planes(blobs, images):
    fine = r_weight(project(blobs, TILTS, image_width=2 * WIDTH), oversampling=4)
    assert np.allclose(fine[:, :, ::4], images, atol=1e-5 * np.abs(images).max())
    volume = back_project(fine, TILTS, DEPTH, oversampling=4)[:, :, WIDTH // 2 : WIDTH // 2 + WIDTH]
    assert energy_outside_tilts(volume, TILTS) < 1e-6
    independent = 4 * smear_interpolated(images, 4) * np.deg2rad(3)
    assert np.allclose(volume, independent, atol=2e-4 * np.abs(independent).max())


def test_white_noise_has_the_share_not_seen():
    noise = np.random.default_rng(2).standard_normal((DEPTH, 32, WIDTH))
    seen = seen_by_tilts((DEPTH, WIDTH), TILTS)
    # Both halves of the plane of frequencies, up to Nyquist in every direction.
    counted = np.full(seen.shape, 2.0)
    counted[:, [0, -1]] = 1
    counted[np.hypot(np.fft.fftfreq(DEPTH)[:, None], np.fft.rfftfreq(WIDTH)[None, :]) > 0.5] = 0
    expected = counted[~seen].sum() / counted.sum()
    assert energy_outside_tilts(noise, TILTS) == pytest.approx(expected, abs=0.01)


def test_the_mask_is_symmetric_and_holds_the_planes():
    seen = seen_by_tilts((64, 96), TILTS, 1.0)
    assert seen[0, 0]
    assert seen[0].all()  # tilt 0: kz = 0
    assert not seen[20, 0]  # along kz, the missing wedge
    assert (seen[1:] == seen[:0:-1]).all()  # tilts to both sides alike
    assert not energy_outside_tilts(np.zeros((16, 2, 16), np.float32), TILTS)
