"""Grey values changed, and what must not change with them."""

import numpy as np
import pytest

from cryosiam.training.augment.grey import augment_grey


@pytest.mark.parametrize("inside", [0.02, 0.3])
def test_a_patch_keeps_its_spread_however_much_is_in_it(inside: float) -> None:
    """A patch of a noiseless tomogram that is nearly empty has a small spread, and keeps it under any filter."""
    patch = np.zeros((24, 24, 24), np.float32)
    edge = round(24 * np.cbrt(inside))
    patch[:edge, :edge, :edge] = -3
    spreads = [float(augment_grey(patch, np.random.default_rng(seed)).std() / patch.std()) for seed in range(60)]
    assert min(spreads) > 0.84
    # Noise adds to it: at most half of the unit that tomograms are normalised to.
    assert max(spreads) < 1.16 * np.hypot(1, 0.5 / patch.std())
    assert len({round(spread, 6) for spread in spreads}) > 50
