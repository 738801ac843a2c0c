"""Normalisation: independent of slabs, robust to outliers, plain about unusable volumes."""

import numpy as np
import pytest

from cryosiam.domain import ArrayVolume
from cryosiam.errors import InputError
from cryosiam.inference.normalisation import Normalisation, measure_normalisation, z_slabs


def measure(array: np.ndarray, slab_bytes: int = 1 << 20) -> Normalisation:
    return measure_normalisation(ArrayVolume(array), run="TS_1", source="a.mrc", slab_bytes=slab_bytes)


@pytest.mark.parametrize("shape", [(40, 30, 31), (171, 200, 190)])
def test_does_not_depend_on_the_slab_size(shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(1).normal(40.0, 7.0, shape).astype(np.float32)
    wanted = measure(array, 1 << 40)
    for slab_bytes in (1, 300_000, 3_000_000):
        assert measure(array, slab_bytes) == wanted


def test_gives_zero_mean_and_unit_spread_despite_outliers() -> None:
    array = np.random.default_rng(2).normal(-300.0, 20.0, (60, 70, 80)).astype(np.float32)
    array[30, 35, 40:44] = 1e7
    result = measure(array).apply(array)
    assert result.dtype == np.float32
    assert abs(result.mean()) < 1e-3
    assert result.std() == pytest.approx(1.0, abs=1e-3)
    assert result.max() < 5


def test_integer_volumes_work() -> None:
    array = np.random.default_rng(3).integers(-128, 128, (20, 30, 40)).astype(np.int8)
    assert measure(array).apply(ArrayVolume(array).read(next(z_slabs(array.shape)))).std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_values_that_are_not_numbers_wherever_they_are(bad: float) -> None:
    array = np.random.default_rng(4).normal(size=(70, 200, 300)).astype(np.float32)
    array[67, 199, 298] = bad
    with pytest.raises(InputError, match=r"run 'TS_1': the tomogram a\.mrc holds NaN or infinite values"):
        measure(array)


@pytest.mark.parametrize("value", [0.0, 3.5, -1e8])
def test_refuses_constant_volumes(value: float) -> None:
    with pytest.raises(InputError, match=r"run 'TS_1': the tomogram a\.mrc has the same value"):
        measure(np.full((9, 10, 11), value, np.float32))


def test_refuses_empty_volumes() -> None:
    with pytest.raises(InputError, match="no voxels"):
        measure(np.zeros((0, 4, 4), np.float32))
