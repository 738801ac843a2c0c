import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.simulation.microscope.damage import critical_exposure, dose_weights, signal_left

frequencies = st.floats(0.001, 0.5)
doses = st.floats(0.1, 20.0)


def test_critical_exposure_is_that_of_the_paper():
    assert critical_exposure([1 / 3, 1 / 10, 1 / 20]) == pytest.approx([4.336, 14.141, 38.72], rel=2e-3)
    assert critical_exposure(0.1, 200.0) / critical_exposure(0.1) == pytest.approx(0.8, abs=0.005)
    assert np.isfinite(critical_exposure(0.0))


@given(frequency=frequencies, prior=st.floats(0, 200), dose=doses, more=st.floats(0.01, 50))
def test_signal_fades_with_dose_and_frequency(frequency, prior, dose, more):
    left = signal_left(frequency, prior, dose)
    assert 0 < left <= 1
    assert signal_left(frequency, prior + more, dose) < left
    assert signal_left(frequency, prior, dose + more) < left
    assert signal_left(frequency * 1.1, prior, dose) < left


@given(frequency=frequencies, prior=st.floats(0, 100), dose=doses)
def test_signal_is_averaged_over_the_exposure(frequency, prior, dose):
    slices = 400
    middles = prior + (np.arange(slices) + 0.5) * dose / slices
    thin = np.exp(-middles / (2 * critical_exposure(frequency)))
    assert signal_left(frequency, prior, dose) == pytest.approx(thin.mean(), rel=1e-5)


def test_an_exposure_without_dose_has_the_signal_of_its_moment():
    assert signal_left(0.1, 30.0, 0.0) == pytest.approx(np.exp(-30 / (2 * critical_exposure(0.1))))
    assert signal_left(0.1, 0.0, 0.0) == 1


@given(count=st.integers(1, 61), dose=doses, frequency=frequencies)
def test_weights_keep_the_power_of_noise(count, dose, frequency):
    weights = dose_weights([frequency, 0.0, 0.5], np.arange(count) * dose, dose)
    assert weights.shape == (count, 3)
    assert np.mean(weights**2, axis=0) == pytest.approx([1, 1, 1])
    assert (np.diff(weights, axis=0) <= 0).all()


def test_weighting_gives_the_best_signal_to_noise():
    prior, frequency = np.arange(41) * 3.0, np.array([0.02, 0.05, 0.1])
    signal = signal_left(frequency, prior[:, None], 3.0)

    def quality(weights):
        return (weights * signal).sum(axis=0) / np.sqrt((weights**2).sum(axis=0))

    best = quality(dose_weights(frequency, prior, 3.0))
    assert (best > quality(np.ones_like(signal))).all()
    assert (best > quality(signal**2)).all()
    assert best == pytest.approx(np.sqrt((signal**2).sum(axis=0)))
