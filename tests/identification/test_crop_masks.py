"""The ways of cutting particles out that imported networks learnt with."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cryosiam.domain import ArrayVolume
from cryosiam.identification.crops import MASK_MARGIN_VOXELS, MaskKind, crop_channels, crops_for, cut_crops
from cryosiam.inference.normalisation import Normalisation


def crop(labels: NDArray[np.int32], mask: MaskKind, scale: Normalisation | None = None) -> NDArray[np.float32]:
    volume = ArrayVolume(np.full(labels.shape, 3.0, np.float32))
    centre = np.array([[16.0, 16.0, 16.0]])
    cut: NDArray[np.float32] = cut_crops(volume, labels, centre, np.array([1]), 32, mask=mask, scale=scale).numpy()
    return cut[0, 0]


@pytest.fixture
def corner() -> NDArray[np.int32]:
    """Three thin arms from one corner: their hull is a pyramid."""
    labels = np.zeros((32, 32, 32), np.int32)
    labels[8:24, 8, 8] = labels[8, 8:24, 8] = labels[8, 8, 8:24] = 1
    return labels


def test_a_strict_mask_is_the_grown_instance_with_a_hard_edge(corner: NDArray[np.int32]) -> None:
    cut = crop(corner, "strict")
    assert set(np.unique(cut)) == {0.0, 3.0}
    assert cut[23 + MASK_MARGIN_VOXELS, 8, 8] == 3.0
    assert cut[24 + MASK_MARGIN_VOXELS, 8, 8] == 0.0
    assert cut[12, 12, 12] == 0.0


def test_a_hull_holds_what_lies_between(corner: NDArray[np.int32]) -> None:
    cut = crop(corner, "hull")
    assert cut[12, 12, 12] == 3.0
    assert cut[22, 22, 22] == 0.0
    assert np.all(cut[crop(corner, "strict") > 0] == 3.0)
    # The grown arms reach from 6 to 25 with ends 4 wide: between a pyramid's sixth and a fraction more.
    assert 19**3 / 6 < (cut > 0).sum() < 26**3 / 4


def test_without_a_mask_everything_stays(corner: NDArray[np.int32]) -> None:
    assert np.all(crop(corner, "none") == 3.0)


def test_grey_values_are_scaled_before_the_mask(corner: NDArray[np.int32]) -> None:
    cut = crop(corner, "strict", Normalisation(low=0.0, high=2.0, mean=1.0, std=2.0))
    assert set(np.unique(cut)) == {0.0, 0.5}


def test_a_flat_instance_is_its_own_hull() -> None:
    labels = np.zeros((32, 32, 32), np.int32)
    assert np.all(crop(labels, "hull") == 0.0)


def test_surroundings_stand_beside_the_particle_and_survive_any_rotation(corner: NDArray[np.int32]) -> None:
    volume = ArrayVolume(np.full(corner.shape, 3.0, np.float32))
    centre, label = np.array([[16.0, 16.0, 16.0]]), np.array([1])
    both = cut_crops(volume, corner, centre, label, 32, mask="surroundings").numpy()
    assert both.shape == (1, crop_channels("surroundings"), 32, 32, 32)
    np.testing.assert_array_equal(both[0, 0], crop(corner, "soft"))
    around = both[0, 1]
    distance = np.sqrt(sum((one - 16.0) ** 2 for one in np.indices(around.shape)))
    np.testing.assert_array_equal(around == 3.0, distance < 16)
    assert crops_for(2) == "surroundings"
    assert crops_for(crop_channels("soft")) == "soft"
