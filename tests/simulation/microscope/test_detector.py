import numpy as np
import pytest

from cryosiam.simulation.microscope.detector import cycles_per_physical_pixel, dqe, mtf, noise_transfer

KINDS = ("k2", "k3", "falcon4", "ideal")
FREQUENCY = np.linspace(0, 0.5, 501)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_start_where_they_must_and_fall(kind):
    assert mtf(kind, 0.0) == 1
    assert 0.75 < dqe(kind, 0.0) <= 1
    for curve in (mtf, dqe):
        values = curve(kind, FREQUENCY)
        assert (np.diff(values) <= 0).all()
        assert (np.diff(values) < 0).all() == (kind != "ideal")
        assert values[-1] > 0.1
        assert curve(kind, -FREQUENCY) == pytest.approx(values)


@pytest.mark.parametrize("kind", KINDS)
def test_signal_to_noise_is_what_the_quantum_efficiency_leaves(kind):
    measured = (mtf(kind, FREQUENCY) / noise_transfer(kind, FREQUENCY)) ** 2
    assert measured == pytest.approx(dqe(kind, FREQUENCY))


def test_the_k3_follows_the_table_of_its_maker():
    frequency = [0.095238, 0.190476, 0.285714, 0.380952, 0.476190]
    assert mtf("k3", frequency) == pytest.approx([0.97244, 0.93030, 0.85905, 0.76504, 0.66203], abs=0.012)


@pytest.mark.parametrize(("rate", "zero", "half", "nyquist"), [(7.0, 0.772, 0.665, 0.369), (2.5, 0.795, 0.638, 0.354)])
def test_the_k2_follows_the_curves_of_ruskin(rate, zero, half, nyquist):
    """Values of two fits to the published figure; that at 2.5 electrons per pixel and second has a spike at 0."""
    assert mtf("k2", [0.25, 0.5]) == pytest.approx(np.array([half, nyquist]) / zero, abs=0.06), rate
    assert dqe("k2", 0.0) == pytest.approx(zero, abs=0.02)


def test_counting_makes_the_noise_of_a_k2_nearly_white():
    assert np.ptp(noise_transfer("k2", FREQUENCY)) < 0.02


def test_a_binned_image_sees_the_low_part_of_the_curves():
    # Nyquist at 6.8 Å is an eighth of a cycle of a pixel of 1.7 Å: half-way to half of the detector's Nyquist.
    assert cycles_per_physical_pixel(1 / 13.6, 1.7) == pytest.approx(0.125)
    assert mtf("k2", cycles_per_physical_pixel(1 / 13.6, 1.7)) > 0.95
