"""Grey values from 0 to 1, whichever way up they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.domain import ArrayVolume
from cryosiam.inference.normalisation import Normalisation, whole_range


@given(st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.sampled_from([1, -1]))
def test_clip_limits_become_0_and_1(low: float, width: float, sign: int) -> None:
    scale = Normalisation(low, low + width, low + width / 3, width / 5).to_unit_range(sign)
    values = sign * scale.apply(np.array([low - 1.0, low, low + width / 2, low + width, low + width + 1], np.float32))
    wanted = [0.0, 0.0, 0.5, 1.0, 1.0]
    np.testing.assert_allclose(values, wanted if sign > 0 else wanted[::-1], atol=1e-3 * max(1, abs(low) / width))


def test_a_whole_range_clips_nothing() -> None:
    volume = np.random.default_rng(1).normal(2.0, 5.0, (9, 10, 11)).astype(np.float32)
    scaled = whole_range(ArrayVolume(volume)).apply(volume)
    assert scaled.min() == pytest.approx(0.0, abs=1e-6)
    assert scaled.max() == pytest.approx(1.0)
    assert np.corrcoef(scaled.ravel(), volume.ravel())[0, 1] == pytest.approx(1.0)


def test_a_constant_volume_has_nothing_to_show() -> None:
    volume = np.full((4, 4, 4), 7.0, np.float32)
    assert np.all(whole_range(ArrayVolume(volume)).apply(volume) == 0.0)
