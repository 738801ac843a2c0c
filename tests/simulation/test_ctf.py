import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.simulation.ctf import ctf_1d, ctf_2d, electron_wavelength_angstrom, interaction_constant


@given(
    defocus_um=st.floats(1.0, 6.0),
    voltage_kv=st.sampled_from([200.0, 300.0]),
    aberration_mm=st.sampled_from([0.01, 2.0, 2.7]),
    amplitude=st.floats(0.0, 0.15),
)
@settings(deadline=None)
def test_zeros_lie_where_theory_puts_them(defocus_um, voltage_kv, aberration_mm, amplitude):
    k = np.linspace(1e-4, 0.12, 12_001)
    values = ctf_1d(
        k,
        defocus_um=defocus_um,
        voltage_kv=voltage_kv,
        spherical_aberration_mm=aberration_mm,
        amplitude_contrast=amplitude,
    )
    assert (values[k < 0.01] >= 0).all()
    found = k[:-1][np.signbit(values[:-1]) != np.signbit(values[1:])]
    # Phase n pi - asin(A) solved for k^2: defocus term less the aberration's.
    lam = 12.2643 / np.sqrt(voltage_kv * 1e3 + 0.97845e-6 * (voltage_kv * 1e3) ** 2)
    a, b = 0.5 * np.pi * aberration_mm * 1e7 * lam**3, np.pi * lam * defocus_um * 1e4
    phases = np.arange(1, 6) * np.pi - np.arcsin(amplitude)
    expected = np.sqrt((b - np.sqrt(b**2 - 4 * a * phases)) / (2 * a))
    expected = expected[expected < 0.119]
    assert np.allclose(found[: len(expected)], expected, rtol=0.01)


def test_wavelength_and_interaction_constant_are_those_of_the_tables():
    assert electron_wavelength_angstrom(300) == pytest.approx(0.019687, rel=1e-4)
    assert electron_wavelength_angstrom(200) == pytest.approx(0.025079, rel=1e-4)
    assert interaction_constant(300) == pytest.approx(6.526e-4, rel=1e-3)


def test_the_image_ctf_is_the_radial_one_on_the_fft_grid():
    values = ctf_2d((32, 48), 10.0, defocus_um=3.0)
    assert values.shape == (32, 25)
    assert values[0, 7] == pytest.approx(ctf_1d(np.array(7 / 480), defocus_um=3.0))
    assert values[5, 0] == pytest.approx(ctf_1d(np.array(5 / 320), defocus_um=3.0))
