"""Training patches, imaged anew while training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from cryosiam.simulation.build import species_wanted
from cryosiam.simulation.sources import load_all
from cryosiam.training.imaged import ImagedBatches, Looks, imaged
from cryosiam.training.recipe import SpecimenGroup
from cryosiam.training.specimens import StoredSpecimen, make_specimens

SIZE = (24, 32, 32)
VOXEL = 10.0


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> list[StoredSpecimen]:
    group = SpecimenGroup(preset="demo", seeds=(1, 2), shape_zyx=(84, 80, 80), share=1.0)
    folder: Path = tmp_path_factory.mktemp("specimens")
    return make_specimens(folder, group, VOXEL, lambda spec: load_all(species_wanted(spec), VOXEL), lambda line: None)


def batches(specimens: list[StoredSpecimen], seed: int = 4, clear: float = 0.0) -> ImagedBatches:
    return ImagedBatches(specimens, np.array([0.5, 0.5]), SIZE, 3, seed, Looks(clear))


def test_a_batch_depends_on_seed_and_number_alone(specimens: list[StoredSpecimen]) -> None:
    in_order, skipping = batches(specimens), batches(specimens)
    later = skipping(17)
    first = skipping(0)
    for number, expected in ((0, first), (17, later)):
        for name, values in in_order(number).items():
            assert torch.equal(values, expected[name]), name
    assert not torch.equal(batches(specimens, seed=5)(0)["noisy"], first["noisy"])


def test_labels_are_those_of_the_place_that_is_shown(specimens: list[StoredSpecimen]) -> None:
    """Shown almost clean, an image agrees with its labels voxel by voxel, however the patch was turned."""
    batch = batches(specimens, clear=1.0)(0)
    assert batch["noisy"].shape == (3, 1, *SIZE)
    assert batch["semantic"].shape == (3, *SIZE)
    assert torch.equal(batch["foreground"][:, 0] > 0, batch["instances"] > 0)
    assert (batch["distance"][:, 0][batch["instances"] == 0] == 0).all()
    assert (batch["distance"][:, 0][batch["instances"] > 0] > 0).all()
    for noisy, clean in zip(batch["noisy"][:, 0].numpy(), batch["clean"][:, 0].numpy(), strict=True):
        assert clean.std() > 0
        # Protein is dark in both.
        assert np.corrcoef(ndimage.gaussian_filter(noisy, 1).ravel(), ndimage.gaussian_filter(clean, 1).ravel())[
            0, 1
        ] == pytest.approx(1, abs=0.3)


def test_every_image_is_by_another_microscope_and_normalised_whole(specimens: list[StoredSpecimen]) -> None:
    first, second = (imaged(specimens[0], np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(first.noisy, second.noisy)
    for one in (first, second):
        assert abs(float(one.noisy.mean())) < 0.2
        assert float(one.noisy.std()) == pytest.approx(1, abs=0.2)
    clean = specimens[0].array("clean").astype(np.float32)
    smooth = ndimage.gaussian_filter(first.noisy, 1.5)
    assert np.corrcoef(smooth.ravel(), ndimage.gaussian_filter(clean, 1.5).ravel())[0, 1] > 0.2


def test_looks_come_in_their_shares_and_each_is_normalised_whole(specimens: list[StoredSpecimen]) -> None:
    looks = Looks(clear=0.3, denoised=0.4, denoiser=lambda noisy: 0.1 * ndimage.gaussian_filter(noisy, 2) - 7)
    clean = specimens[0].array("clean").astype(np.float32)
    agreement = []
    for seed in range(20):
        shown = looks.show(specimens[0], np.random.default_rng(seed)).noisy
        assert abs(float(shown.mean())) < 0.2
        assert float(shown.std()) == pytest.approx(1, abs=0.2)
        # Neighbours differ most in noise, less once it is smoothed, least without any.
        steps = float(np.abs(np.diff(shown, axis=2)).mean())
        agreement.append((float(np.corrcoef(shown.ravel(), clean.ravel())[0, 1]), steps))
    clear = [steps for correlation, steps in agreement if correlation > 0.75]
    noisy = [steps for correlation, steps in agreement if steps > 0.5]
    assert len(clear) == pytest.approx(6, abs=4)
    assert len(noisy) == pytest.approx(6, abs=4)
    assert len(agreement) - len(clear) - len(noisy) == pytest.approx(8, abs=4)


def test_without_a_denoiser_nothing_is_shown_denoised() -> None:
    with pytest.raises(ValueError, match="only by a denoiser"):
        Looks(denoised=0.2)
