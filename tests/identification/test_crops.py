"""Subtomograms: in place, masked to their own instance, and solvent outside."""

import numpy as np

from cryosiam.domain import ArrayVolume
from cryosiam.identification.crops import MASK_MARGIN_VOXELS, cut_crops


def test_crop_is_centred_and_keeps_the_instance() -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(24, 24, 24)).astype(np.float32)
    labels = np.zeros(volume.shape, np.int32)
    labels[8:15, 9:16, 10:17] = 7
    crop = cut_crops(ArrayVolume(volume), labels, np.array([[11.0, 12.0, 13.0]]), np.array([7]), 16)[0, 0].numpy()
    np.testing.assert_allclose(crop[5:12, 5:12, 5:12], volume[8:15, 9:16, 10:17], rtol=1e-6)


def test_neighbours_and_solvent_fade_to_zero() -> None:
    labels = np.zeros((32, 32, 32), np.int32)
    labels[14:18, 14:18, 14:18] = 1
    labels[14:18, 14:18, 24:28] = 2
    crop = cut_crops(
        ArrayVolume(np.ones((32, 32, 32), np.float32)), labels, np.array([[16.0, 16.0, 16.0]]), np.array([1]), 32
    )[0, 0].numpy()
    reach = MASK_MARGIN_VOXELS + 1
    assert crop[16, 16, 17] == 1
    assert 0 < crop[16, 16, 17 + reach] < 1
    assert crop[16, 16, 18 + reach] == 0
    assert crop[16, 16, 24:28].max() == 0


def test_outside_the_volume_there_is_nothing() -> None:
    labels = np.ones((8, 8, 8), np.int32)
    crop = cut_crops(
        ArrayVolume(np.ones((8, 8, 8), np.float32)), labels, np.array([[0.0, 0.0, 0.0]]), np.array([1]), 16
    )
    assert crop.shape == (1, 1, 16, 16, 16)
    assert crop[0, 0, :8].max() == 0
    assert crop[0, 0, 9, 9, 9] == 1
