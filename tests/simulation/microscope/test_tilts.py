import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.simulation.microscope.tilts import exposures
from cryosiam.simulation.spec.microscope import TiltSpec


def order(**fields):
    planned = exposures(TiltSpec(**fields), 120.0)
    return planned.tilt_angles_deg[np.argsort(planned.exposure_index)]


@st.composite
def specs(draw):
    low, high = draw(st.floats(-80, 0)), draw(st.floats(0, 80))
    return TiltSpec(
        scheme=draw(st.sampled_from(["dose-symmetric", "bidirectional", "continuous"])),
        min_deg=low,
        max_deg=high,
        step_deg=draw(st.floats(0.5, 10)),
        start_deg=draw(st.floats(low, high)),
        group=draw(st.integers(1, 5)),
    )


@given(spec=specs(), dose=st.floats(1, 300))
def test_every_nominal_tilt_is_exposed_once(spec, dose):
    planned = exposures(spec, dose)
    tilts, count = planned.tilt_angles_deg, len(planned.tilt_angles_deg)
    first = spec.min_deg if spec.scheme == "continuous" else spec.start_deg
    # All steps from the first tilt that lie in the range, each once, ascending; the range leaves room for no more.
    steps = (tilts - first) / spec.step_deg
    assert steps == pytest.approx(np.round(steps), abs=1e-6)
    assert np.diff(tilts) == pytest.approx(np.full(count - 1, spec.step_deg))
    assert tilts[0] >= spec.min_deg - 0.01
    assert tilts[-1] <= spec.max_deg + 0.01
    assert tilts[0] - spec.step_deg < spec.min_deg
    assert tilts[-1] + spec.step_deg > spec.max_deg
    assert sorted(planned.exposure_index) == list(range(count))
    assert planned.prior_dose == pytest.approx(planned.exposure_index * planned.dose_per_tilt)
    assert planned.dose_per_tilt * count == pytest.approx(dose)
    assert tilts[planned.exposure_index.argmin()] == pytest.approx(first)


def test_the_scheme_of_hagen():
    assert order(min_deg=-12, max_deg=12).tolist() == [0, 3, -3, -6, 6, 9, -9, -12, 12]
    assert len(order()) == 41


def test_groups_take_turns_as_in_empiar_10491():
    assert order(min_deg=-10, max_deg=10, step_deg=2, group=2).tolist() == [0, 2, 4, -2, -4, 6, 8, -6, -8, 10, -10]


def test_the_longer_side_goes_on_alone():
    assert order(min_deg=-3, max_deg=15, start_deg=3).tolist() == [3, 6, 0, -3, 9, 12, 15]


def test_bidirectional_goes_up_first_and_continuous_straight_through():
    assert order(scheme="bidirectional", min_deg=-9, max_deg=6, start_deg=-3).tolist() == [-3, 0, 3, 6, -6, -9]
    assert order(scheme="continuous", min_deg=-6, max_deg=6).tolist() == [-6, -3, 0, 3, 6]


@given(spec=specs())
def test_a_dose_symmetric_series_exposes_low_tilts_first(spec):
    if spec.scheme != "dose-symmetric":
        return
    planned = exposures(spec, 100.0)
    steps = (planned.tilt_angles_deg - spec.start_deg) / spec.step_deg
    # Until one side is used up, no tilt waits for more than the groups of the other side that may come first.
    both = min(steps.max(), -steps.min())
    inside = np.abs(steps) <= both
    late = planned.exposure_index[inside] - 2 * np.abs(steps[inside])
    assert np.abs(late).max() <= 2 * max(spec.group, 2)


def test_missing_tilts_count_as_exposed():
    whole, holes = exposures(TiltSpec(), 123.0), exposures(TiltSpec(missing_deg=(0, -60, 9)), 123.0)
    kept = ~np.isin(whole.tilt_angles_deg, [0, -60, 9])
    assert holes.dose_per_tilt == whole.dose_per_tilt == 3
    assert (holes.tilt_angles_deg == whole.tilt_angles_deg[kept]).all()
    assert (holes.prior_dose == whole.prior_dose[kept]).all()
    assert holes.exposure_index.min() == 1


def test_missing_tilts_must_exist_and_leave_some():
    with pytest.raises(InputError, match=r"missing_deg names 10 degrees.*nearest tilt is 9"):
        exposures(TiltSpec(missing_deg=(10,)), 100.0)
    with pytest.raises(InputError, match="missing_deg leaves out all 3 tilts"):
        exposures(TiltSpec(min_deg=-3, max_deg=3, missing_deg=(-3, 0, 3)), 100.0)
