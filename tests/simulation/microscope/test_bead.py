import numpy as np
import pytest
from scipy import ndimage

from cryosiam.simulation.microscope.imaging import take_tilt_series
from cryosiam.simulation.microscope.reconstruction import reconstruct_volumes

SHAPE = (40, 56, 64)
PLACES = [(20, 28, 32), (11.3, 28.4, 45.6), (28.7, 20.2, 18.1)]


def centre_of_mass(image, near):
    """Return (y, u) from the centre pixel of the dark spot nearby, both counted from the centre pixel."""
    centre = np.array(image.shape) // 2
    first = np.rint(near).astype(int) + centre - 8
    window = image[tuple(slice(start, start + 17) for start in first)]
    return np.array(ndimage.center_of_mass(window.max() - window)) + first - centre


def seen_at(place, tilts_deg):
    """Return (y, u) from the centre pixel where the geometry puts a point of the volume."""
    z, y, x = (p - n // 2 for p, n in zip(place, SHAPE, strict=True))
    t = np.deg2rad(tilts_deg)
    return np.stack([np.full(t.shape, float(y)), x * np.cos(t) + z * np.sin(t)], axis=1)


@pytest.mark.parametrize("place", PLACES)
def test_a_bead_is_seen_where_geometry_puts_it_at_every_tilt(make_specimen, make_spec, in_focus, gaussian_bead, place):
    specimen = make_specimen(gaussian_bead(SHAPE, place))
    spec = make_spec(specimen, optics=in_focus)
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    expected = seen_at(place, series.tilt_angles_deg)
    found = [centre_of_mass(image, near) for image, near in zip(series.images, expected, strict=True)]
    assert len(found) == 41
    assert np.abs(found - expected).max() < 0.05


def test_alignment_errors_are_those_the_series_tells(make_specimen, make_spec, in_focus, gaussian_bead):
    place = (20, 40.2, 18.6)
    specimen = make_specimen(gaussian_bead(SHAPE, place))
    errors = {"shift_angstrom": 10.0, "rotation_deg": 3.0, "magnification": 0.03}
    spec = make_spec(specimen, optics=in_focus, alignment=errors, tilts={"step_deg": 10})
    series = take_tilt_series(specimen, spec, np.random.default_rng(3))
    for tilt, image in enumerate(series.images):
        v, u = seen_at(place, series.tilt_angles_deg[tilt : tilt + 1])[0]
        angle, magnification = np.deg2rad(series.rotations_deg[tilt]), series.magnifications[tilt]
        expected = magnification * np.array(
            [v * np.cos(angle) + u * np.sin(angle), u * np.cos(angle) - v * np.sin(angle)]
        )
        expected += series.shifts_angstrom[tilt, ::-1] / 6.8
        assert np.abs(centre_of_mass(image, expected) - expected).max() < 0.05
    assert series.shifts_angstrom.std() == pytest.approx(10, rel=0.5)
    assert series.rotations_deg.std() == pytest.approx(3, rel=0.5)


def test_a_shift_alone_is_what_correlation_finds(make_specimen, make_spec):
    rng = np.random.default_rng(0)
    density = 0.02 * ndimage.gaussian_filter(rng.standard_normal((16, 64, 64)), 1.5)
    specimen = make_specimen(density)
    flat = {"min_deg": 0, "max_deg": 0}
    still = take_tilt_series(specimen, make_spec(specimen, flat), np.random.default_rng(1))
    moved_spec = make_spec(specimen, flat, alignment={"shift_angstrom": 14.0})
    moved = take_tilt_series(specimen, moved_spec, np.random.default_rng(1))
    window = np.hanning(64)[:, None] * np.hanning(still.images.shape[2])
    first, second = ((s.images[0] - s.images[0].mean()) * window for s in (still, moved))
    cross = np.fft.fft2(second) * np.conj(np.fft.fft2(first))
    fine = 20
    padded = np.zeros((64 * fine, first.shape[1] * fine), complex)
    rows, columns = (np.fft.fftfreq(n, 1 / n).astype(int) for n in first.shape)
    padded[np.ix_(rows, columns)] = cross
    peak = np.unravel_index(np.fft.ifft2(padded).real.argmax(), padded.shape)
    found = [(p + n / 2) % n - n / 2 for p, n in zip(np.array(peak) / fine, first.shape, strict=True)]
    assert found == pytest.approx(moved.shifts_angstrom[0, ::-1] / 6.8, abs=0.1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("correction", ["none", "phase-flip"])
def test_a_bead_is_reconstructed_in_its_place(make_specimen, make_spec, gaussian_bead, place, correction):
    specimen = make_specimen(gaussian_bead(SHAPE, place))
    spec = make_spec(specimen, optics={"defocus_um": 1.5}, reconstruction={"ctf_correction": correction})
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    volume = reconstruct_volumes(series, spec, SHAPE).noisy
    assert volume.shape == SHAPE
    low = np.array(np.unravel_index(volume.argmin(), SHAPE))
    around = volume[tuple(slice(i - 1, i + 2) for i in low)]
    step = [
        (around[before] - around[after]) / (2 * (around[before] + around[after] - 2 * around[1, 1, 1]))
        for before, after in (((0, 1, 1), (2, 1, 1)), ((1, 0, 1), (1, 2, 1)), ((1, 1, 0), (1, 1, 2)))
    ]
    assert np.abs(low + step - place).max() < 0.1


def test_nothing_is_reconstructed_in_the_missing_wedge(make_specimen, make_spec, in_focus, gaussian_bead):
    shape = (96, 16, 96)
    specimen = make_specimen(gaussian_bead(shape, (48, 8, 48), sigma=4.5))
    spec = make_spec(specimen, optics=in_focus)
    series = take_tilt_series(specimen, spec, np.random.default_rng(0))
    volume = reconstruct_volumes(series, spec, shape).noisy.astype(np.float64)
    # Streaks run on beyond the volume: what is looked at fades towards its faces.
    z, x = np.ogrid[-48:48, -48:48]
    faded = (volume - volume[0, 0, 0]).sum(1) * np.exp(-(z**2 + x**2) / (2 * 11.0**2))
    power = np.abs(np.fft.fft2(faded)) ** 2
    kz, kx = np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96), indexing="ij")
    beyond = np.abs(kz) * np.cos(np.pi / 3) - np.abs(kx) * np.sin(np.pi / 3)
    # Fading blurs the planes by 1 / (2 pi 11) = 0.0145 per voxel.
    assert power[beyond > 5 * 0.0145].sum() / power.sum() < 1e-6
